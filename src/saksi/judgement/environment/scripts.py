"""Scripts that installers write or rewrite: what they may look like, byte for byte.

No wheel holds a console script: pip, uv and others write it from `entry_points.txt`, each from a template of its own,
with a first line that starts the environment's interpreter. Rules:

- A body is one of the known ones or it is not as expected; nothing is parsed and nothing is run.
- The first line starts an interpreter and nothing else: options are refused, since `-c` there would run what follows.

Known weakness: an installer that is not known here writes scripts that are named. They are harmless, and a person has
to look.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final

import msgspec

__all__ = [
    "BESIDE",
    "MAX_SCRIPT_BYTES",
    "Launcher",
    "generated_name",
    "is_generated_body",
    "read_launcher",
    "starts",
]

MAX_SCRIPT_BYTES: Final = 4 << 20
"""A script that an installer rewrites is text; the longest known has 60 kB."""
BESIDE: Final = "python beside the script"
"""The interpreter of uv's relocatable scripts."""

_BODIES: Final = (
    # distlib up to 0.3.8, and so pip up to 25.0
    (
        "# -*- coding: utf-8 -*-\nimport re\nimport sys\nfrom {module} import {name}\nif __name__ == '__main__':\n"
        "    sys.argv[0] = re.sub(r'(-script\\.pyw|\\.exe)?$', '', sys.argv[0])\n    sys.exit({call}())\n"
    ),
    # distlib up to 0.3.0
    (
        "# -*- coding: utf-8 -*-\nimport re\nimport sys\nfrom {module} import {name}\nif __name__ == '__main__':\n"
        "    sys.argv[0] = re.sub(r'(-script\\.pyw?|\\.exe)?$', '', sys.argv[0])\n    sys.exit({call}())\n"
    ),
    # distlib from 0.3.9
    (
        "# -*- coding: utf-8 -*-\nimport re\nimport sys\nif __name__ == '__main__':\n    from {module} import {name}\n"
        "    sys.argv[0] = re.sub(r'(-script\\.pyw|\\.exe)?$', '', sys.argv[0])\n    sys.exit({call}())\n"
    ),
    # pip 25
    (
        "import sys\nfrom {module} import {name}\nif __name__ == '__main__':\n    if sys.argv[0].endswith('.exe'):\n"
        "        sys.argv[0] = sys.argv[0][:-4]\n    sys.exit({call}())\n"
    ),
    # pip from 26.0
    (
        "import sys\nfrom {module} import {name}\nif __name__ == '__main__':\n"
        "    sys.argv[0] = sys.argv[0].removesuffix('.exe')\n    sys.exit({call}())\n"
    ),
    # installer (poetry, pdm), and uv up to 0.5
    (
        '# -*- coding: utf-8 -*-\nimport re\nimport sys\nfrom {module} import {name}\nif __name__ == "__main__":\n'
        '    sys.argv[0] = re.sub(r"(-script\\.pyw|\\.exe)?$", "", sys.argv[0])\n    sys.exit({call}())\n'
    ),
    # uv
    (
        '# -*- coding: utf-8 -*-\nimport sys\nfrom {module} import {name}\nif __name__ == "__main__":\n'
        '    if sys.argv[0].endswith("-script.pyw"):\n        sys.argv[0] = sys.argv[0][:-11]\n'
        '    elif sys.argv[0].endswith(".exe"):\n        sys.argv[0] = sys.argv[0][:-4]\n    sys.exit({call}())\n'
    ),
)
_LONG: Final = re.compile(
    rb"#!/bin/sh\n'''exec' (?:"
    rb"(?P<plain>/[^\s\"'$`;&|<>()\\*?]+)|"
    rb"\"(?P<double>/[^\"$`\\\n]+)\"|"
    rb"'(?P<single>/[^'\n]+)'|"
    rb"\"\$\(dirname -- \"\$\(realpath -- \"\$0\"\)\"\)\"/'(?P<beside>python[0-9.]*)'"
    rb") \"\$0\" \"\$@\"\n' '''\n"
)
"""distlib's (bare, or in double quotes), uv's and installer's (in single quotes), uv's relocatable one."""
_LINE: Final = re.compile(rb"#!(/[^\n]+)\n")
_PLAIN: Final = re.compile(r"/\S*/(?:python|pypy)[0-9.]*t?")
_VERSIONED: Final = (
    (re.compile(r"pip-?[0-9]+(\.[0-9]+)?"), "pip"),
    (re.compile(r"easy_install-[0-9.]+"), "easy_install"),
)


class Launcher(msgspec.Struct, frozen=True, kw_only=True):
    """A script's head and the rest: `interpreter` is what the first line starts, as it is written."""

    interpreter: str
    body: bytes


def read_launcher(content: bytes) -> Launcher | None:
    """The head of a script as installers write it, and what is behind; `None` if it has none."""
    found = _LONG.match(content)
    if found is not None:
        path = found["plain"] or found["double"] or found["single"]
        interpreter = BESIDE if path is None else path.decode("utf-8", "surrogateescape")
        return Launcher(interpreter=interpreter, body=content[found.end() :])
    found = _LINE.match(content)
    if found is None:
        return None
    return Launcher(interpreter=found[1].decode("utf-8", "surrogateescape"), body=content[found.end() :])


def starts(launcher: Launcher, interpreters: Collection[str]) -> bool:
    """Whether the head starts one of `interpreters`; with none given, it starts any Python and no more."""
    if launcher.interpreter == BESIDE:
        return True
    if interpreters:
        return launcher.interpreter in interpreters
    return _PLAIN.fullmatch(launcher.interpreter) is not None


def is_generated_body(body: bytes, *, module: str, attribute: str) -> bool:
    """Whether `body` is what one of the known installers writes for the entry point `module:attribute`."""
    name = attribute.partition(".")[0]
    return any(
        body == each.format(module=module, name=name, call=attribute).encode("utf-8", "surrogateescape")
        for each in _BODIES
    )


def generated_name(path: str) -> str:
    """The name of the entry point behind a script: `pip3.11` is `pip`, since installers put their Python's version."""
    return next((name for pattern, name in _VERSIONED if pattern.fullmatch(path)), path)
