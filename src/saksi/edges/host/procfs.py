"""Reading /proc. Processes vanish while they are read: every function answers `None` or nothing then.

Names are bytes that the job chooses: what is no UTF-8 is escaped, what is long is cut.

`started_ticks` (field 22 of `stat`, proc(5)) tells two processes with the same pid apart.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import msgspec

__all__ = [
    "ProcessFacts",
    "boot_id",
    "children_of",
    "descendants_of",
    "has_torch_mapped",
    "hidden_of",
    "maps_are_hidden",
    "read_process",
]

PROC: Final = Path("/proc")
MAX_ARGUMENTS: Final = 64
MAX_ARGUMENT: Final = 512
MAX_COMMAND: Final = 1 << 20
"""Read of a command line, whose length the process chooses."""
MAX_PATH: Final = 4_096
"""Characters of a path: what a record's text holds."""
STARTED_TICKS: Final = 19
"""Where field 22 stands behind the name."""
LEAST_OF_TORCH: Final = 64 << 20
"""libtorch_cpu.so alone is larger in every build for servers (157 MiB and more)."""
TORCH_LIBRARIES: Final = (b"/libtorch_cpu.so", b"/libtorch.so", b"/libtorch_python.so")


class ProcessFacts(msgspec.Struct, frozen=True, kw_only=True):
    """One process as /proc shows it. `command` is not redacted."""

    pid: int
    ppid: int
    started_ticks: int
    state: str
    executable: str | None
    command: tuple[str, ...]
    uid: int | None


def boot_id() -> str:
    """The kernel's id of this boot; monotonic times are comparable within one. Empty where there is none."""
    try:
        return (PROC / "sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def read_process(pid: int) -> ProcessFacts | None:
    """What /proc says of `pid`, or `None` if it is gone."""
    folder = PROC / str(pid)
    try:
        stat = (folder / "stat").read_bytes()
    except OSError:
        return None
    # The second field is the name in parentheses, and a process chooses its own name: count from the last one.
    fields = stat[stat.rfind(b")") + 2 :].split()
    if len(fields) <= STARTED_TICKS:
        return None
    return ProcessFacts(
        pid=pid,
        ppid=int(fields[1]),
        started_ticks=int(fields[STARTED_TICKS]),
        state=fields[0].decode("ascii", "replace"),
        executable=_link(folder / "exe"),
        command=_command(folder / "cmdline"),
        uid=_owner(folder),
    )


def children_of(pid: int) -> tuple[int, ...]:
    """The children of every thread of `pid`."""
    found: list[int] = []
    try:
        tasks = list((PROC / str(pid) / "task").iterdir())
    except OSError:
        return ()
    for task in tasks:
        try:
            found.extend(int(child) for child in (task / "children").read_bytes().split())
        except OSError:
            continue
    return tuple(found)


def descendants_of(pid: int, *, without: frozenset[int] = frozenset()) -> tuple[int, ...]:
    """Every living descendant of `pid`, parents first, leaving out the subtrees rooted in `without`."""
    found: list[int] = []
    waiting = [pid]
    while waiting:
        for child in children_of(waiting.pop()):
            if child not in without:
                found.append(child)
                waiting.append(child)
    return tuple(found)


def has_torch_mapped(pid: int) -> bool | None:
    """Whether torch's libraries are mapped into `pid`; `None` where the kernel does not let us look, or it is gone."""
    try:
        maps = (PROC / str(pid) / "maps").read_bytes()
    except PermissionError:
        return None if maps_are_hidden(pid) else False
    except OSError:
        return None
    return any(library in maps for library in TORCH_LIBRARIES)


def maps_are_hidden(pid: int) -> bool:
    """Whether `pid` may have torch mapped and we may not look (CAP_SYS_PTRACE, for another account's process).

    A process that never had as much address space as torch's smallest library needs has not: everybody may see that.
    """
    folder = PROC / str(pid)
    try:
        (folder / "maps").open("rb").close()
    except PermissionError:
        peak = _peak_bytes(folder / "status")
        return peak is None or peak >= LEAST_OF_TORCH
    except OSError:
        return False
    return False


def hidden_of(pid: int) -> dict[str, str]:
    """What we may not see of the process `pid`, and why."""
    hidden: dict[str, str] = {}
    for name in ("environ", "exe", "maps"):
        try:
            if name == "exe":
                os.readlink(PROC / str(pid) / name)  # noqa: PTH115 - only whether it may be read
            else:
                with (PROC / str(pid) / name).open("rb") as file:
                    file.read(1)
        except PermissionError:
            hidden[name] = "permission: another account's process, and no CAP_SYS_PTRACE"
        except OSError:
            continue
    return hidden


def _peak_bytes(status: Path) -> int | None:
    """The most address space that the process had since it began its program; 0 for one that is gone."""
    try:
        content = status.read_bytes()
    except OSError:
        return 0
    for line in content.splitlines():
        if line.startswith(b"VmPeak:"):
            return int(line.split()[1]) * 1024
    return 0 if b"State:\tZ" in content else None


def _link(path: Path) -> str | None:
    try:
        target = os.readlink(os.fsencode(path))  # noqa: PTH115 - as bytes, which pathlib does not give
    except OSError:
        return None
    return target.decode("utf-8", "backslashreplace")[:MAX_PATH]


def _command(path: Path) -> tuple[str, ...]:
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_COMMAND)
    except OSError:
        return ()
    if not raw:  # a kernel thread, a zombie, or a process in the middle of exec
        return ()
    words = raw.rstrip(b"\0").split(b"\0")[:MAX_ARGUMENTS]
    return tuple(word[:MAX_ARGUMENT].decode("utf-8", "backslashreplace") for word in words)


def _owner(folder: Path) -> int | None:
    try:
        return folder.stat().st_uid
    except OSError:
        return None
