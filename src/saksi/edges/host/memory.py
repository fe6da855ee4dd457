"""How much memory processes have taken, and how much is to be had: what the kernel says of both at this moment.

What counts is memory that no file holds: of processes' own, shared, and swapped out. Files that are mapped, such as
libraries, can be dropped by the kernel at any time and count nowhere.

Known weakness: what is taken and given back between two looks is never seen; memory of a device is not looked at, nor
are files in a tmpfs that nobody has mapped.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from saksi.edges.host.endings import memory_folders

__all__ = ["available_memory", "memory_of"]

PROC: Final = Path("/proc")
CGROUPS: Final = Path("/sys/fs/cgroup")
_COUNTED: Final = ("RssAnon", "RssShmem", "VmSwap")
_SHARES: Final = ("Pss_Anon", "Pss_Shmem", "SwapPss")
_KIB: Final = 1024


def memory_of(pids: Iterable[int], *, beyond: int) -> int:
    """Bytes that these processes have taken together; exact only where that is more than `beyond`.

    Pages that several of them share are counted in each at first, which is cheap. Only if that is too much they are
    counted once, for which the kernel walks through all of them.
    """
    processes = tuple(pids)
    quick = sum(_sum_in(PROC / str(pid) / "status", _COUNTED) or 0 for pid in processes)
    if quick <= beyond:
        return quick
    return sum(_exactly(pid) for pid in processes)


def available_memory(*, proc: Path = PROC, cgroups: Path = CGROUPS) -> int | None:
    """Bytes that can be taken before something has to give way: of the machine, or of our cgroup if that is less."""
    found = [] if (here := _sum_in(proc / "meminfo", ("MemAvailable",))) is None else [here]
    for folder in memory_folders(os.getpid(), cgroups):
        for limit, taken in (("memory.max", "memory.current"), ("memory.limit_in_bytes", "memory.usage_in_bytes")):
            most, now = _number(folder / limit), _number(folder / taken)
            if most is not None and now is not None:
                found.append(max(0, most - now + _of_files(folder / "memory.stat")))
    return min(found, default=None)


def _exactly(pid: int) -> int:
    """What falls to it of the pages that it shares; what is its own and what is shared where we may not look."""
    shares = _sum_in(PROC / str(pid) / "smaps_rollup", _SHARES)
    return shares if shares is not None else _sum_in(PROC / str(pid) / "status", _COUNTED) or 0


def _sum_in(path: Path, names: tuple[str, ...]) -> int | None:
    """The sum of these lines, which are in KiB; `None` where there is none of them, as for a process that is gone."""
    try:
        lines = path.read_text("ascii", "replace").splitlines()
    except OSError:
        return None
    found = [int(line.split()[1]) for line in lines if line.partition(":")[0] in names]
    return sum(found) * _KIB if found else None


def _number(path: Path) -> int | None:
    try:
        text = path.read_text("ascii", "replace").strip()
    except OSError:
        return None
    return int(text) if text.isdigit() else None  # "max" is no limit


def _of_files(path: Path) -> int:
    """What a cgroup holds of files that nobody used of late: it gives way by itself."""
    try:
        lines = path.read_text("ascii", "replace").splitlines()
    except OSError:
        return 0
    idle = [line.split()[1] for line in lines if line.startswith(("inactive_file ", "total_inactive_file "))]
    return int(idle[-1]) if idle else 0  # in version 1 the second line is that of everything below
