"""What the agent asks of the kernel for its own process. Each answers whether it was granted."""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Iterator
from typing import Final

__all__ = ["adopt_orphans", "forbid_dumps", "leave_the_signal_stack", "orphans_adopted"]

PR_SET_DUMPABLE: Final = 4
PR_SET_CHILD_SUBREAPER: Final = 36
PR_GET_CHILD_SUBREAPER: Final = 37
SS_DISABLE: Final = 2


class _Stack(ctypes.Structure):
    """`stack_t` of sigaltstack(2)."""

    _fields_ = (("ss_sp", ctypes.c_void_p), ("ss_flags", ctypes.c_int), ("ss_size", ctypes.c_size_t))


def forbid_dumps() -> bool:
    """No core dump, and no ptrace or /proc/PID/mem by the same account: the attempt's key lives in this memory."""
    return _prctl(PR_SET_DUMPABLE, 0)


def adopt_orphans() -> bool:
    """Descendants whose parent dies become our children, so that the process tree stays one tree."""
    return _prctl(PR_SET_CHILD_SUBREAPER, 1)


@contextlib.contextmanager
def orphans_adopted() -> Iterator[None]:
    """As `adopt_orphans`, until the end: whoever adopts must reap, and what comes later was not asked to."""
    before = ctypes.c_int(0)
    _prctl(PR_GET_CHILD_SUBREAPER, ctypes.addressof(before))
    adopt_orphans()
    try:
        yield
    finally:
        _prctl(PR_SET_CHILD_SUBREAPER, before.value)


def leave_the_signal_stack() -> bool:
    """Signals of this thread are handled on its own stack from now on.

    `faulthandler` (PYTHONFAULTHANDLER) sets up another of a few pages. Python's handlers run there too, and several
    signals at once stand one on the other: six of them overflowed it on x86-64, and the process ended by SIGSEGV or
    SIGABRT. What it costs: a stack that overflows itself is reported by nobody.
    """
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        return bool(libc.sigaltstack(ctypes.byref(_Stack(None, SS_DISABLE, 0)), None) == 0)
    except (OSError, AttributeError):
        return False


def _prctl(option: int, value: int) -> bool:
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        return bool(libc.prctl(option, ctypes.c_ulong(value), 0, 0, 0) == 0)
    except (OSError, AttributeError):
        return False
