"""Process ids across pid namespaces: what a process in a container calls 7 has another number outside of it.

The kernel lists a process's ids, from the namespace of the /proc that is read inwards, in the line `NSpid` of its
status (proc(5), Linux 4.1). That line is open to every account.
"""

from __future__ import annotations

from saksi.edges.host.procfs import PROC, descendants_of

__all__ = ["pid_seen_from_here", "pids_of"]

MAX_STATUS = 65_536


def pids_of(pid: int) -> tuple[int, ...]:
    """The ids of `pid`, ours first, innermost last; empty if it is gone or the kernel does not say."""
    try:
        with (PROC / str(pid) / "status").open("rb") as file:
            content = file.read(MAX_STATUS)
    except OSError:
        return ()
    for line in content.splitlines():
        if line.startswith(b"NSpid:"):
            return tuple(int(each) for each in line.split()[1:] if each.isdigit())
    return ()


def pid_seen_from_here(launcher: int, claimed: int) -> int:
    """Our id of the process that `launcher`, whose id is ours, started and calls `claimed`.

    0 if no descendant of the launcher has that id, in its namespace: another process is never taken for it.
    """
    depth = len(pids_of(launcher)) - 1
    for pid in descendants_of(launcher):
        found = pids_of(pid) or (pid,)
        if depth < len(found) and found[depth] == claimed:
            return pid
    return 0
