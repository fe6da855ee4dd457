"""How a process that is not our child ended, as far as the kernel lets it be known.

Two ways, tried in this order:

1. While it is a zombie (it ended, and its parent has not asked yet), the last field of `/proc/PID/stat` is its status.
   A parent that waits for it takes it away at once; one that polls, as torchrun does, leaves it there for a while.
2. From Linux 6.15 on, a pidfd that was opened while it lived tells the status also afterwards (PIDFD_GET_INFO).
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
from pathlib import Path
from typing import Final, Literal

import msgspec

__all__ = ["Ending", "ending_of", "ending_of_status", "memory_folders", "oom_kills", "open_pidfd", "resource_limits"]

PROC: Final = Path("/proc")
CGROUPS: Final = Path("/sys/fs/cgroup")
STARTED_TICKS: Final = 19
EXIT_CODE: Final = 49
"""Where field 52 stands behind the name."""
PIDFD_GET_INFO: Final = 0xC040FF0B
"""`_IOWR(0xFF, 11, struct pidfd_info)` of 64 bytes, its first published size."""
PIDFD_INFO_EXIT: Final = 8
_INFO: Final = struct.Struct("=QQ12I")
MAX_LINES: Final = 64


class Ending(msgspec.Struct, frozen=True, kw_only=True):
    """How a process ended: exactly one of `code` and `signal` is set. `source` is who said so."""

    code: int | None
    signal: int | None
    source: Literal["launcher", "proc", "pidfd"]


def open_pidfd(pid: int) -> int:
    """Raises `ProcessLookupError`, or another `OSError` where the kernel or the interpreter has none."""
    opener = getattr(os, "pidfd_open", None)  # an interpreter built against old headers has no such function
    if opener is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    return int(opener(pid))


def ending_of(pid: int, started_ticks: int, pidfd: int | None) -> Ending | None:
    """How `pid` ended; `None` if it has not, or if nobody tells us."""
    try:
        stat = (PROC / str(pid) / "stat").read_bytes()
    except OSError:
        stat = b""
    fields = stat[stat.rfind(b")") + 2 :].split()
    if len(fields) > EXIT_CODE and int(fields[STARTED_TICKS]) == started_ticks and fields[0] in (b"Z", b"X"):
        status = int(fields[EXIT_CODE])
        if status or _is_ours(pid):
            return ending_of_status(status, "proc")
    if pidfd is None:
        return None
    asked = bytearray(_INFO.pack(PIDFD_INFO_EXIT, 0, *[0] * 12))
    try:
        fcntl.ioctl(pidfd, PIDFD_GET_INFO, asked)
    except OSError:
        return None
    answer = _INFO.unpack(asked)
    return ending_of_status(answer[-1], "pidfd") if answer[0] & PIDFD_INFO_EXIT else None


def ending_of_status(status: int, source: Literal["launcher", "proc", "pidfd"]) -> Ending:
    """A wait status as an ending."""
    number = status & 0x7F
    return Ending(code=None if number else (status >> 8) & 0xFF, signal=number or None, source=source)


def resource_limits(pid: int, *, cgroups: Path = CGROUPS) -> dict[str, int]:
    """The limits that are in force for `pid`, by the kernel's names: soft ones of the process, `memory` of its cgroup.

    What is unlimited is left out.
    """
    found: dict[str, int] = {}
    for line in _lines(PROC / str(pid) / "limits"):
        name, soft = line[:26].strip(), line[26:47].strip()
        if soft.isdigit():
            found[name] = min(int(soft), 2**63 - 1)
    for folder in memory_folders(pid, cgroups):
        for file in ("memory.max", "memory.limit_in_bytes"):
            text = "".join(_lines(folder / file))
            if text.isdigit() and int(text) < 2**62:  # the kernel writes "none" as a number near 2^63
                found.setdefault("memory", int(text))
    return found


def oom_kills(pid: int, *, cgroups: Path = CGROUPS) -> tuple[Path, int] | None:
    """The file that counts what the kernel killed in the cgroup of `pid` for want of memory, and its count."""
    for folder in memory_folders(pid, cgroups):
        for file in ("memory.events", "memory.oom_control"):
            count = count_in(folder / file)
            if count is not None:
                return folder / file, count
    return None


def count_in(file: Path) -> int | None:
    """The `oom_kill` count in such a file."""
    for line in _lines(file):
        name, _, value = line.partition(" ")
        if name == "oom_kill" and value.strip().isdigit():
            return int(value)
    return None


def _is_ours(pid: int) -> bool:
    """Whether a status of 0 is meant: of another account's process the kernel shows 0 whatever it is."""
    try:
        return os.geteuid() in (0, (PROC / str(pid)).stat().st_uid)
    except OSError:
        return False


def memory_folders(pid: int, cgroups: Path) -> list[Path]:
    """Where the memory controller of `pid` may be; in a container its own root is the last guess."""
    found: list[Path] = []
    for line in _lines(PROC / str(pid) / "cgroup"):
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        if controllers == "memory":
            found += [cgroups / "memory" / path.lstrip("/"), cgroups / "memory"]
        elif not controllers:
            found += [cgroups / path.lstrip("/"), cgroups]
    return found


def _lines(path: Path) -> list[str]:
    try:
        with path.open("rb") as file:
            return file.read(65_536).decode("utf-8", "backslashreplace").splitlines()[:MAX_LINES]
    except OSError:
        return []
