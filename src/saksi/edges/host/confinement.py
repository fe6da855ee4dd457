"""A process that may read everything and change nothing: namespaces of its own, made before anything of it runs.

Whatever it writes in the folders that are named goes into a layer above them and is gone with it; everything else is
read-only, but for one folder; there is no network beyond itself. For replays: what a program writes must not overwrite
what the run wrote.

Nobody can undo it: who is not root has no right to, and of root's rights those that could are given up once it stands
(`privileges`). As root, device nodes that no training needs (`device_nodes`) and the sockets in /run are not there
either: what answers there asks no more than whether it is root.

Source: namespaces(7), user_namespaces(7), mount_namespaces(7), mount_setattr(2), and the kernel's overlayfs page.
Needs Linux 5.12 and user namespaces; without root, overlays in them (5.11).

Known weakness: the account stays the same, so that it reaches sockets in folders other than /run, and without root
those too; /dev/shm is that of everybody; root reads in /sys and /proc what is readable by it there; and before Linux
6.12 signals reach other processes of the account.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import socket
import struct
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

from saksi.edges.host.device_nodes import build_dev, show_dev
from saksi.edges.host.layers import Layers
from saksi.edges.host.mounts import (
    NO_DEVICES,
    READ_ONLY,
    CannotConfine,
    bind,
    keep_mounts_private,
    libc,
    mount,
    move,
    set_attributes,
)
from saksi.edges.host.privileges import (
    NEWUSER,
    enter_namespace,
    give_up_rights,
    keep_signals_inside,
    namespace_of_all_accounts,
)

__all__ = ["CannotConfine", "confine", "outermost"]

_NEWNS: Final = 0x00020000
_NEWNET: Final = 0x40000000
_SIOCGIFFLAGS: Final = 0x8913
_SIOCSIFFLAGS: Final = 0x8914
_IFF_UP: Final = 1
_SHM: Final = Path("/dev/shm")  # noqa: S108 - shared memory of loaders
_SOCKETS: Final = (Path("/run"), Path("/var/run"))
"""Where a system's services are asked: a container's engine there would start anything outside of all walls."""


def outermost(folders: Iterable[Path]) -> tuple[Path, ...]:
    """The folders without those inside of others, sorted."""
    found: list[Path] = []
    for each in sorted({folder.resolve() for folder in folders}):
        if not any(each.is_relative_to(other) for other in found):
            found.append(each)
    return tuple(found)


def confine(
    layered: Sequence[Path],
    scratch: Path,
    *,
    writable: Sequence[Path] = (),
    gladly: Sequence[Path] = (),
    hidden: Sequence[Path] = (),
    placed: Sequence[tuple[Path, Path]] = (),
) -> None:
    """Confine this process, which must have one thread, for good: it and whatever it starts.

    `layered` are folders that it may write into without a trace, `gladly` others of that kind that stay read-only
    where no layer can be put over them; `hidden` are shown empty; of each pair that is `placed` the first folder stands
    in the place of the second, those in `scratch` before all others. `scratch` stays writable, as do those in
    `writable`; they are the caller's, and lie in none of the others.

    Raises `CannotConfine`.
    """
    with _namespaces() as accounts:
        _build_walls(layered, scratch, writable=writable, gladly=gladly, hidden=hidden, placed=placed)
        if accounts is not None:
            enter_namespace(accounts)
            _unshare(_NEWNET)  # of the accounts' own: no right over that of the machine is left
    _raise_loopback()
    give_up_rights()
    keep_signals_inside()


def _build_walls(
    layered: Sequence[Path],
    scratch: Path,
    *,
    writable: Sequence[Path],
    gladly: Sequence[Path],
    hidden: Sequence[Path],
    placed: Sequence[tuple[Path, Path]],
) -> None:
    keep_mounts_private()
    for each in (scratch, *writable):
        bind(each, each)  # its own mount, so that it can stay writable
    layers = Layers(scratch / "layers")
    kept = [(source, target) for source, target in placed if target.is_relative_to(scratch)]
    there = [(source, target) for source, target in placed if not target.is_relative_to(scratch)]
    outer = outermost(target for _, target in there)
    around, above = _parted(layered, gladly, outer)
    _place(kept)
    layers.put_over_all(around, gladly)
    _place((source, target) for source, target in there if target in outer)
    layers.put_over_all(above, gladly)
    _place((source, target) for source, target in there if target not in outer)
    for number, folder in enumerate(hidden):
        empty = scratch / f"empty.{number}"
        empty.mkdir(mode=0o500)
        bind(empty, folder)
    if os.geteuid() == 0:
        _hide_what_root_may_open(scratch, (*layered, *gladly, scratch, *writable, *(target for _, target in placed)))
    else:
        _set_read_only()
    for each in (scratch, *writable, layers.folder, *layers.done, _SHM):
        if each.is_dir():
            _set_writable(each)


def _hide_what_root_may_open(scratch: Path, shown: Iterable[Path]) -> None:
    """Device nodes and sockets of the system: what answers there asks no more than whether it is root."""
    seen = outermost((*shown, Path(sys.prefix), Path(sys.base_prefix)))
    for number, folder in enumerate(outermost(each for each in _SOCKETS if each.is_dir())):
        if not any(folder.is_relative_to(each) for each in seen):
            _hide_but(folder, [each for each in seen if each.is_relative_to(folder)], scratch / f"run.{number}")
    dev = scratch / "dev"
    dev.mkdir()
    nodes = build_dev(dev)
    _set_read_only(NO_DEVICES)
    show_dev(dev, nodes)


def _hide_but(folder: Path, seen: Iterable[Path], empty: Path) -> None:
    """Show nothing in it but these, and links that lead out of it: systems keep such in /run for programs to find."""
    empty.mkdir()
    mount("tmpfs", empty, "mode=0755,size=1m")
    for each in seen:
        place = empty / each.relative_to(folder)
        place.mkdir(parents=True)
        bind(each, place)
    for each in folder.iterdir():
        if each.is_symlink() and not each.resolve().is_relative_to(folder):
            (empty / each.name).symlink_to(each.readlink())
    move(empty, folder)


def _parted(layered: Sequence[Path], gladly: Sequence[Path], outer: Sequence[Path]) -> tuple[list[Path], list[Path]]:
    """What is layered before something is placed, and above it.

    A layer shows nothing that was mounted below its folder. So what lies around a place comes first, and what is placed
    there takes a layer of its own; what is placed inside of that comes last, and is not written to.
    """
    wanted = [*layered, *gladly]
    around = [each for each in wanted if any(target != each and target.is_relative_to(each) for target in outer)]
    own = [target for target in outer if target not in wanted and any(target.is_relative_to(each) for each in around)]
    return around, [*(each for each in wanted if each not in around), *own]


def _place(pairs: Iterable[tuple[Path, Path]]) -> None:
    for source, target in pairs:
        bind(source, target)


@contextlib.contextmanager
def _namespaces() -> Iterator[int | None]:
    """Mounts of its own, and what is to be entered once they stand: as root, whom nothing would keep from undoing them.

    Any other account has a user namespace of its own from the start, and no right over what was mounted outside of it.
    """
    uid, gid = os.getuid(), os.getgid()
    if os.geteuid() == 0 and libc().unshare(_NEWNS) == 0:
        with namespace_of_all_accounts() as accounts:
            yield accounts
        return
    _unshare(NEWUSER | _NEWNS | _NEWNET)
    for name, text in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")):
        Path("/proc/self", name).write_text(text, "ascii")
    yield None


def _unshare(flags: int) -> None:
    if libc().unshare(flags) != 0:
        raise CannotConfine(
            f"no namespaces of its own can be made here: {os.strerror(ctypes.get_errno())}",
            remedy="replay where user namespaces are allowed (sysctl user.max_user_namespaces), or as root",
        )


def _set_read_only(more: int = 0) -> None:
    """Everything, with that attribute too."""
    try:
        set_attributes(Path("/"), add=READ_ONLY | more, recursive=True)
    except OSError as reason:
        raise CannotConfine(f"/: cannot be made read-only: {reason.strerror}") from reason


def _set_writable(folder: Path) -> None:
    try:
        set_attributes(folder, remove=READ_ONLY)
    except OSError as reason:
        if reason.errno != errno.EINVAL:  # /dev/shm that is no mount
            raise CannotConfine(f"{folder}: cannot be made writable: {reason.strerror}") from reason


def _raise_loopback() -> None:
    """Ranks of one machine find each other there."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        request = struct.pack("16sH14x", b"lo", 0)
        flags = struct.unpack("16sH14x", fcntl.ioctl(control, _SIOCGIFFLAGS, request))[1]
        fcntl.ioctl(control, _SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", flags | _IFF_UP))
