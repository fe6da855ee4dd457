"""What root can do, given up for good: by this process and whatever it starts.

Rules: root keeps what a training program as root needs of the files and processes that are its own to use. It keeps
nothing that mounts, makes devices, opens files by their number, reads other processes' memory or names, or changes the
kernel. Which account a program has stays as it is, for root too.

Two measures, since neither is enough. A bounding set, of which `execve` makes the capabilities of a program of root.
And a user namespace of its own, in which every account is itself: what a capability allows there it allows over nothing
that was made outside. Without it a program that kept SETUID could take the account of any process outside, look at its
root folder (`/proc/PID/root`, before all walls) and read there as root; with none at all, it could that of a service of
root that itself gave up as much.

Signals are another matter: they reach every process of the account, in whatever namespace. Where the kernel can (Linux
6.12, with Landlock) they are kept inside too, of every account.

Source: capabilities(7), user_namespaces(7), prctl(2), landlock(7), and `cap_ptrace_access_check` of the kernel.

Known weakness: on an older kernel signals reach other processes of the account. Limits and priorities of those can be
set by it (prlimit(2), setpriority(2)), and System V shared memory is shared with them.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from saksi.edges.host.mounts import CannotConfine, libc

__all__ = [
    "KEPT",
    "NEWUSER",
    "enter_namespace",
    "give_up_rights",
    "keep_signals_inside",
    "namespace_of_all_accounts",
]

NEWUSER: Final = 0x10000000

KEPT: Final = {
    "CHOWN": 0,  # archives are unpacked with their owners
    "DAC_OVERRIDE": 1,  # a project that another account owns, in a container whose only account is root
    "FOWNER": 3,  # modes and times of such a project's files
    "FSETID": 4,  # of those whose folders hand on a group
    "KILL": 5,  # of ranks that took another account; signals of root reach root without it
    "SETGID": 6,
    "SETUID": 7,  # programs that give up root themselves
    "NET_BIND_SERVICE": 10,  # of the network of its own
    "SYS_NICE": 23,  # processors of ranks that took another account
}
"""By name and number. DAC_READ_SEARCH is not among them: it opens files by their number, whatever is mounted above.
SYS_RESOURCE and IPC_LOCK would be idle: the kernel asks for them outside of the namespace."""

_PR_CAPBSET_READ: Final = 23
_PR_CAPBSET_DROP: Final = 24
_PR_SET_NO_NEW_PRIVS: Final = 38
_PR_CAP_AMBIENT: Final = 47
_PR_CAP_AMBIENT_CLEAR_ALL: Final = 4
_CAPABILITY_VERSION_3: Final = 0x20080522
_LANDLOCK_CREATE_RULESET: Final = 444
_LANDLOCK_RESTRICT_SELF: Final = 446
_LANDLOCK_SCOPE_SIGNAL: Final = 2
_MOST: Final = 64
"""A set of capabilities has so many bits."""


@contextlib.contextmanager
def namespace_of_all_accounts() -> Iterator[int]:
    """A descriptor of a new user namespace that nobody is in, where each account and group has the number it has here.

    For root, while `/proc` can be written. Raises `CannotConfine`.
    """
    ready, said = os.pipe()
    held, holds = os.pipe()
    child = os.fork()
    if child == 0:
        _hold_namespace(said, held, holds)
    os.close(said)
    os.close(held)
    try:
        answer = os.read(ready, 1)
        if answer != b"y":
            raise CannotConfine(
                "no user namespace can be made here, without which root could undo its walls",
                remedy="allow them (sysctl user.max_user_namespaces), or replay under an account that is not root",
            )
        descriptor = _mapped(child)
    finally:
        os.close(ready)
        os.close(holds)
        os.waitpid(child, 0)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _hold_namespace(said: int, held: int, holds: int) -> None:
    """In a child: a namespace lasts as long as somebody is in it, or holds it."""
    with contextlib.suppress(BaseException):
        os.close(holds)
        os.write(said, b"y" if libc().unshare(NEWUSER) == 0 else b"n")
        os.read(held, 1)
    os._exit(0)


def _mapped(child: int) -> int:
    """The child's namespace, with all accounts of this one. Raises `CannotConfine`."""
    try:
        for name in ("uid_map", "gid_map"):
            here = [line.split() for line in Path("/proc/self", name).read_text("ascii").splitlines()]
            same = "".join(f"{inside} {inside} {count}\n" for inside, _, count in here)
            Path("/proc", str(child), name).write_text(same, "ascii")
        return os.open(f"/proc/{child}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
    except OSError as reason:
        raise CannotConfine(
            f"root's accounts cannot be taken into a user namespace: {reason.strerror}",
            remedy="replay under an account that is not root",
        ) from reason


def enter_namespace(descriptor: int) -> None:
    """Raises `CannotConfine`."""
    if libc().setns(descriptor, NEWUSER) != 0:
        raise CannotConfine(f"the user namespace cannot be entered: {os.strerror(ctypes.get_errno())}")


def give_up_rights() -> None:
    """Every capability but those that are `KEPT`, and that of gaining any by a file that is executed.

    Of an account that is not root no program has any either way; the rest holds for it as well, and costs it nothing:
    in a user namespace in which it is alone, files that make somebody root make it nobody. Raises `CannotConfine`.
    """
    kept = set(KEPT.values())
    for number in range(_MOST):
        if number not in kept and libc().prctl(_PR_CAPBSET_READ, *_longs(number)) == 1:
            _ask(libc().prctl(_PR_CAPBSET_DROP, *_longs(number)))
    _ask(libc().prctl(_PR_CAP_AMBIENT, *_longs(_PR_CAP_AMBIENT_CLEAR_ALL)))
    header = struct.pack("Ii", _CAPABILITY_VERSION_3, 0)
    low = sum(1 << number for number in kept)
    _ask(libc().capset(header, struct.pack("6I", low, low, 0, 0, 0, 0)))
    _ask(libc().prctl(_PR_SET_NO_NEW_PRIVS, *_longs(1)))


def keep_signals_inside() -> bool:
    """Whether the kernel could: this process and what it starts can signal each other, and nobody else.

    Behind `give_up_rights`, without which it may not be asked for.
    """
    asked = struct.pack("QQQ", 0, 0, _LANDLOCK_SCOPE_SIGNAL)
    rules = libc().syscall(_LANDLOCK_CREATE_RULESET, asked, ctypes.c_size_t(len(asked)), 0)
    if rules < 0:
        return False
    try:
        return bool(libc().syscall(_LANDLOCK_RESTRICT_SELF, rules, 0) == 0)
    finally:
        os.close(rules)


def _longs(first: int) -> tuple[ctypes.c_ulong, ...]:
    return tuple(ctypes.c_ulong(each) for each in (first, 0, 0, 0))


def _ask(answer: int) -> None:
    if answer != 0:
        raise CannotConfine(f"rights of root cannot be given up here: {os.strerror(ctypes.get_errno())}")
