"""Known contents: the whole of them, under their name, and not a word more."""

from __future__ import annotations

import pytest

from fuzz.seeded import SEED, Random, mutated
from saksi.judgement.environment.expected_doors import expected

PRECEDENCE = (
    b"import os; var = 'SETUPTOOLS_USE_DISTUTILS'; enabled = os.environ.get(var, 'local') == 'local'; "
    b"enabled and __import__('_distutils_hack').add_shim(); "
)


def namespace(*parts):
    package, last = ".".join(parts), ""
    if len(parts) > 1:
        last = f";m and setattr(sys.modules[{'.'.join(parts[:-1])!r}], {parts[-1]!r}, m)"
    return (
        "import sys, types, os;has_mfs = sys.version_info > (3, 5);"
        f"p = os.path.join(sys._getframe(1).f_locals['sitedir'], *{parts!r});"
        "importlib = has_mfs and __import__('importlib.util');has_mfs and __import__('importlib.machinery');"
        f"m = has_mfs and sys.modules.setdefault({package!r}, importlib.util.module_from_spec("
        f"importlib.machinery.PathFinder.find_spec({package!r}, [os.path.dirname(p)])));"
        f"m = m or sys.modules.setdefault({package!r}, types.ModuleType({package!r}));"
        "mp = (m or []) and m.__dict__.setdefault('__path__',[]);(p not in mp) and mp.append(p)" + last + "\n"
    ).encode()


KNOWN = {
    "distutils-precedence.pth": PRECEDENCE,
    "matplotlib-3.5.1-py3.11-nspkg.pth": namespace("mpl_toolkits"),
    "x-nspkg.pth": namespace("a") + namespace("a", "b"),
    "__editable__.toy-1.0.pth": b"import __editable___toy_1_0_finder; __editable___toy_1_0_finder.install()",
    "_virtualenv.pth": b"import _virtualenv",
    "a1_coverage.pth": (
        b'import sys; exec(\'import os\\n\\nif os.getenv("COVERAGE_PROCESS_START") or '
        b'os.getenv("COVERAGE_PROCESS_CONFIG"):\\n try:\\n  import coverage\\n except:\\n  pass\\n else:\\n  '
        b'coverage.process_startup(slug="pth")\')\n'
    ),
    "coloredlogs.pth": (
        b'import os; exec(\'try: __import__("coloredlogs").auto_install() if '
        b'os.environ.get("COLOREDLOGS_AUTO_INSTALL") else None\\nexcept ImportError: pass\')\n'
    ),
}


@pytest.mark.parametrize("name", KNOWN)
def test_a_known_file_has_its_reason(name):
    content = KNOWN[name]
    assert expected(name, content)
    assert expected("other.pth", content) is None
    assert expected(name, content + b"import evil\n") is None
    assert expected(name, content.rstrip() + b"; import evil") is None
    assert expected(name, b"import evil; " + content) is None


def test_the_finder_that_is_installed_is_the_one_that_is_imported():
    text = b"import __editable___toy_finder; __editable___evil_finder.install()"
    assert expected("__editable__.toy-1.0.pth", text) is None


def test_a_changed_file_is_known_only_if_it_says_the_same():
    random = Random(SEED)
    for name, content in KNOWN.items():
        for _ in range(300):
            changed = mutated(random, content)
            if expected(name, changed) is not None:
                # What may differ: blanks and breaks at the end, and the names of packages.
                assert len(changed) < 3 * len(content)
                assert changed.split(b"(")[0].split(b"'")[0].strip()[:11] == content[:11]
    assert expected("_virtualenv.pth", b"x" * 1_000_000) is None
