"""Doors whose exact content is known, each with the reason that it is there.

Rules:

- The whole content has to match, and the name: a known name with one more line is not expected.
- `expected` explains a door and excuses nothing: what the door imports is judged by itself.
- An entry is added with the package that ships it, from its own bytes, never from a description of it.
"""

from __future__ import annotations

import re
from typing import Final

__all__ = ["expected"]

# Setuptools' template for one namespace package; the three names in it are the same package, or its parts.
_NAMESPACE: Final = (
    rb"import sys, types, os;has_mfs = sys\.version_info > \(3, 5\);"
    rb"p = os\.path\.join\(sys\._getframe\(1\)\.f_locals\['sitedir'\], \*\((?:'\w+',? ?)+\)\);"
    rb"importlib = has_mfs and __import__\('importlib\.util'\);has_mfs and __import__\('importlib\.machinery'\);"
    rb"m = has_mfs and sys\.modules\.setdefault\('[\w.]+', importlib\.util\.module_from_spec\("
    rb"importlib\.machinery\.PathFinder\.find_spec\('[\w.]+', \[os\.path\.dirname\(p\)\]\)\)\);"
    rb"m = m or sys\.modules\.setdefault\('[\w.]+', types\.ModuleType\('[\w.]+'\)\);"
    rb"mp = \(m or \[\]\) and m\.__dict__\.setdefault\('__path__',\[\]\);\(p not in mp\) and mp\.append\(p\)"
    rb"(?:;m and setattr\(sys\.modules\['[\w.]+'\], '\w+', m\))?"
)
_EXPECTED: Final[tuple[tuple[str, bytes, str], ...]] = (
    (
        r"distutils-precedence\.pth",
        (
            rb"import os; var = 'SETUPTOOLS_USE_DISTUTILS'; "
            rb"enabled = os\.environ\.get\(var, '(?:local|stdlib)'\) == 'local'; "
            rb"enabled and __import__\('_distutils_hack'\)\.add_shim\(\); ?\n?"
        ),
        "setuptools ships it: it puts setuptools' own distutils in the place of the standard library's",
    ),
    (
        r"[\w.+-]+-nspkg\.pth",
        rb"(?:" + _NAMESPACE + rb"\n)+",
        "setuptools made it: it declares a namespace package that several distributions share",
    ),
    (
        r"__editable__\.[\w.+-]+\.pth",
        rb"import (__editable___\w+_finder); \1\.install\(\)\n?",
        "setuptools made it: an editable installation, whose finder says where its modules are",
    ),
    (
        r"_virtualenv\.pth",
        rb"import _virtualenv\n?",
        "virtualenv and uv make it: it keeps an old distutils from installing outside the environment",
    ),
    (
        r"a1_coverage\.pth",
        (
            rb"import sys; exec\('import os\\n\\nif os\.getenv\(\"COVERAGE_PROCESS_START\"\) or "
            rb"os\.getenv\(\"COVERAGE_PROCESS_CONFIG\"\):\\n try:\\n  import coverage\\n except:\\n  pass\\n else:\\n  "
            rb"coverage\.process_startup\(slug=\"pth\"\)'\)\n?"
        ),
        "coverage ships it: it measures subprocesses if a COVERAGE_PROCESS_ variable is set, and else does nothing",
    ),
    (
        r"coloredlogs\.pth",
        (
            rb"import os; exec\('try: __import__\(\"coloredlogs\"\)\.auto_install\(\) if "
            rb"os\.environ\.get\(\"COLOREDLOGS_AUTO_INSTALL\"\) else None\\nexcept ImportError: pass'\)\n?"
        ),
        "coloredlogs ships it: it does nothing unless COLOREDLOGS_AUTO_INSTALL is set",
    ),
    (
        r"sitecustomize\.py",
        (
            rb"# install the apport exception handler if available\ntry:\n    import apport_python_hook\n"
            rb"except ImportError:\n    pass\nelse:\n    apport_python_hook\.install\(\)\n"
        ),
        "Debian and Ubuntu ship it: it reports crashes of the system's own programs, if apport is installed",
    ),
)
"""Name and whole content, as patterns, and the reason."""
_COMPILED: Final = tuple((re.compile(name), re.compile(content), reason) for name, content, reason in _EXPECTED)
_LONGEST: Final = 8192


def expected(name: str, content: bytes) -> str | None:
    """Why a file of this name with exactly this content is known, or None."""
    if len(content) > _LONGEST:
        return None
    for its_name, its_content, reason in _COMPILED:
        if its_name.fullmatch(name) is not None and its_content.fullmatch(content) is not None:
            return reason
    return None
