"""The naming law of stored objects, and which names may be discarded.

A name is two or more segments joined by `/`. A segment starts with a letter or digit and goes on with those
and `.`, `_`, `-`, all lower case. So `..`, an absolute path and a hidden file cannot be written down, and a
name of a single segment, which could be the store's own `head`, `journal` or `lock`, is no object.
"""

from __future__ import annotations

import re
from typing import Final

__all__ = ["MAX_NAME", "checked_name", "checked_partial", "checked_prefix"]

MAX_NAME: Final = 512
"""Longest name in bytes: far below PATH_MAX (4,096), so that a deep home folder still fits."""

_SEGMENT: Final = r"[a-z0-9][a-z0-9._-]{0,127}"
_NAME: Final = re.compile(rf"{_SEGMENT}(?:/{_SEGMENT})+", re.ASCII)
_PREFIX: Final = re.compile(rf"(?:{_SEGMENT}/)*(?:{_SEGMENT})?", re.ASCII)
# C2SP tlog-tiles: a partial tile's path ends in `.p/` and its width. Nothing else is ever removed.
_PARTIAL: Final = re.compile(r"log/tile/(?:entries|[0-9]{1,2})/(?:x[0-9]{3}/)*[0-9]{3}\.p/[0-9]{1,3}", re.ASCII)


def checked_name(name: str) -> str:
    """`name`, unchanged. Raises `ValueError` if it breaks the naming law."""
    if len(name) > MAX_NAME or _NAME.fullmatch(name) is None:
        raise ValueError(f"{name[:80]!r} is not a name of a stored object")
    return name


def checked_prefix(prefix: str) -> str:
    """`prefix`, unchanged: empty, or the start of some name. Raises `ValueError` otherwise."""
    if len(prefix) > MAX_NAME or _PREFIX.fullmatch(prefix) is None:
        raise ValueError(f"{prefix[:80]!r} cannot start the name of a stored object")
    return prefix


def checked_partial(name: str) -> str:
    """`name`, unchanged, if it is a partial tile. Raises `ValueError` for whatever must never be removed."""
    if _PARTIAL.fullmatch(name) is None:
        raise ValueError(f"{name[:80]!r} is not a partial tile and is never removed")
    return name
