"""What this process is held to by the kernel: its soft limits, and where what it prints goes.

Rules: of a stream only the kind is said, never a name, and no file is asked (one on a network may not answer); what
cannot be read costs itself alone. Another process may set limits too (prlimit): what is said is what holds, not who
set it.
"""

from __future__ import annotations

import resource
from os import readlink
from resource import RLIM_INFINITY, getrlimit
from typing import Optional

_LIMITS = (
    ("address space", "RLIMIT_AS"),
    ("data", "RLIMIT_DATA"),
    ("file size", "RLIMIT_FSIZE"),
    ("locked memory", "RLIMIT_MEMLOCK"),
    ("open files", "RLIMIT_NOFILE"),
    ("processes", "RLIMIT_NPROC"),
    ("processor time", "RLIMIT_CPU"),
    ("stack", "RLIMIT_STACK"),
)
_STREAMS = (("stdout", "/proc/self/fd/1"), ("stderr", "/proc/self/fd/2"))
_PROC = "/proc/self/fd"
_KINDS = (
    ("pipe:", "a pipe"),
    ("socket:", "a socket"),
    ("/dev/shm/", "a file"),  # noqa: S108 - a name that is compared
    ("/dev/", "a device"),
    ("/", "a file"),
)
_NUMBERS = tuple((name, getattr(resource, word)) for name, word in _LIMITS if hasattr(resource, word))


def seen() -> tuple[object, ...]:
    """All that `conditions` says, to be compared alone: it takes half the time."""
    return (*[_soft(number) for _, number in _NUMBERS], *[_link(path) for _, path in _STREAMS])


def conditions() -> dict[str, str]:
    """All of them by name, in a few microseconds; without those that cannot be read."""
    found = {"limit of " + name: _limit(number) for name, number in _NUMBERS}
    found.update(("stream " + name, _leads_to(path)) for name, path in _STREAMS)
    return {name: value for name, value in found.items() if value is not None}


def _soft(number: int) -> Optional[int]:
    try:
        return getrlimit(number)[0]
    except (OSError, ValueError):  # a kernel that does not know this one
        return None


def _limit(number: int) -> Optional[str]:
    soft = _soft(number)
    return "none" if soft == RLIM_INFINITY else None if soft is None else str(soft)


def _link(path: str) -> Optional[str]:
    try:
        return readlink(path)  # noqa: PTH115 - of a path that is text, in the training thread
    except FileNotFoundError:
        return ""
    except OSError:  # a /proc that may not be looked into
        return None


def _leads_to(path: str) -> Optional[str]:
    link = _link(path)
    if link is None:
        return None
    if link == "/dev/null":
        return "nowhere"
    if not link:
        return "closed" if _link(_PROC) != "" else None
    return next((word for start, word in _KINDS if link.startswith(start)), "something else")
