"""What this process is held to by the kernel: its soft limits, and where what it prints goes.

Rules: descriptors are asked for their kind alone, never for a name, and nothing is written to them. Another process
may set limits too (prlimit): what is said is what holds, not who set it.
"""

from __future__ import annotations

import os
import resource
import stat

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
_STREAMS = (("stdout", 1), ("stderr", 2))
_KINDS = (
    (stat.S_ISREG, "a file"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
)
_NULL = os.makedev(1, 3)  # /dev/null of Linux
_NUMBERS = tuple((name, getattr(resource, word)) for name, word in _LIMITS if hasattr(resource, word))
_LIMITED = tuple(number for _, number in _NUMBERS)


def seen() -> tuple[object, ...]:
    """All that `conditions` says, to be compared alone: it takes a third of the time."""
    return (*[resource.getrlimit(number)[0] for number in _LIMITED], *(_leads_to(number) for _, number in _STREAMS))


def conditions() -> dict[str, str]:
    """All of them by name, in a few microseconds."""
    found = {"limit of " + name: _limit(number) for name, number in _NUMBERS}
    found.update(("stream " + name, _leads_to(number)) for name, number in _STREAMS)
    return found


def _limit(number: int) -> str:
    soft, _ = resource.getrlimit(number)
    return "none" if soft == resource.RLIM_INFINITY else str(soft)


def _leads_to(descriptor: int) -> str:
    try:
        found = os.fstat(descriptor)
    except OSError:
        return "closed"
    if stat.S_ISCHR(found.st_mode) and found.st_rdev == _NULL:
        return "nowhere"
    return next((word for is_one, word in _KINDS if is_one(found.st_mode)), "something else")
