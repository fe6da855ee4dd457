"""What the agent asks of the kernel for its own process. Each answers whether it was granted."""

from __future__ import annotations

import ctypes
from typing import Final

__all__ = ["adopt_orphans", "forbid_dumps"]

PR_SET_DUMPABLE: Final = 4
PR_SET_CHILD_SUBREAPER: Final = 36


def forbid_dumps() -> bool:
    """No core dump, and no ptrace or /proc/PID/mem by the same account: the attempt's key lives in this memory."""
    return _prctl(PR_SET_DUMPABLE, 0)


def adopt_orphans() -> bool:
    """Descendants whose parent dies become our children, so that the process tree stays one tree."""
    return _prctl(PR_SET_CHILD_SUBREAPER, 1)


def _prctl(option: int, value: int) -> bool:
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        return bool(libc.prctl(option, value, 0, 0, 0) == 0)
    except (OSError, AttributeError):
        return False
