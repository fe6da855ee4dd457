"""`pyvenv.cfg` as `site` reads it, and the modules of the standard library that every start imports."""

from __future__ import annotations

from typing import Final

from saksi.judgement.environment.pth import Version

__all__ = ["MAX_SETTINGS", "home_in", "start_modules"]

MAX_SETTINGS: Final = 65_536
"""Real ones have five lines."""
# What `python -X importtime -c pass` lists, without what is built in. From 3.11 all but the first is frozen into the
# interpreter and never looked for.
_ALWAYS: Final = ("encodings",)
_NOT_YET_FROZEN: Final = (
    "_collections_abc",
    "_sitebuiltins",
    "abc",
    "codecs",
    "genericpath",
    "io",
    "os",
    "posixpath",
    "site",
    "stat",
)
_FROZEN_SINCE: Final = (3, 11)


def home_in(content: bytes) -> str | None:
    """The last `home` that stands there; None for none."""
    found = None
    for line in content.decode("utf-8", "surrogateescape").splitlines():
        name, equals, value = line.partition("=")
        if equals and name.strip().lower() == "home" and value.strip():
            found = value.strip()
    return found


def start_modules(version: Version) -> frozenset[str]:
    """The modules that an interpreter of this version takes from its search path at every start."""
    return frozenset(_ALWAYS if version >= _FROZEN_SINCE else (*_ALWAYS, *_NOT_YET_FROZEN))
