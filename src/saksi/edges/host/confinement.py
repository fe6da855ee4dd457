"""A process that may read everything and change nothing: namespaces of its own, made before anything of it runs.

Whatever it writes in the folders that are named goes into a layer above them and is gone with it; everything else is
read-only, but for one folder; there is no network beyond itself. For replays: what a program writes must not overwrite
what the run wrote.

Source: namespaces(7), user_namespaces(7), mount_namespaces(7), mount_setattr(2), and the kernel's overlayfs page.
Needs Linux 5.12; without root, user namespaces and overlays in them (5.11).

Known weakness: the account stays the same, so that signals reach other processes of it, and sockets in folders.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import socket
import struct
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from saksi.words.errors import SaksiError

__all__ = ["CannotConfine", "confine", "outermost"]

_NEWNS: Final = 0x00020000
_NEWUSER: Final = 0x10000000
_NEWNET: Final = 0x40000000
_MS_REC_PRIVATE: Final = 0x4000 | (1 << 18)
_MS_BIND_REC: Final = 0x1000 | 0x4000
_MOUNT_SETATTR: Final = 442
"""The number of the call on every architecture that is newer than it."""
_AT_FDCWD: Final = -100
_AT_RECURSIVE: Final = 0x8000
_ATTR_RDONLY: Final = 1
_SIOCGIFFLAGS: Final = 0x8913
_SIOCSIFFLAGS: Final = 0x8914
_IFF_UP: Final = 1
_UNFIT: Final = (",", ":", "\\")
"""Characters that part the options of an overlay: folders with them are not taken."""


class CannotConfine(SaksiError):
    """This system does not allow it; nothing was started."""


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
    _unshare()
    _mount(None, Path("/"), None, _MS_REC_PRIVATE, None)
    for each in (scratch, *writable):
        _mount(each, each, None, _MS_BIND_REC, None)  # its own mount, so that it can stay writable
    layers = _Layers(scratch / "layers")
    kept = [(source, target) for source, target in placed if target.is_relative_to(scratch)]
    there = [(source, target) for source, target in placed if not target.is_relative_to(scratch)]
    outer = outermost(target for _, target in there)
    around, above = _parted(layered, gladly, outer)
    _place(kept)
    layers.put_over_all(around, gladly)
    _place((source, target) for source, target in there if target in outer)
    layers.put_over_all(above, gladly)
    _place((source, target) for source, target in there if target not in outer)
    _set_read_only(Path("/"), read_only=True, recursive=True)
    for each in (scratch, *writable, layers.folder, *layers.done, Path("/dev/shm")):  # noqa: S108 - shared memory of loaders
        if each.is_dir():
            _set_read_only(each, read_only=False, recursive=False)
    for number, folder in enumerate(hidden):
        empty = scratch / f"empty.{number}"
        empty.mkdir(mode=0o500)
        _mount(empty, folder, None, _MS_BIND_REC, None)
    _raise_loopback()


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
        _mount(source, target, None, _MS_BIND_REC, None)


class _Layers:
    """Layers above folders, each in a folder of its own; in memory where the disk of those cannot hold them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.done: list[Path] = []
        self._in_memory = False
        folder.mkdir(mode=0o700)

    def put_over_all(self, folders: Iterable[Path], gladly: Sequence[Path]) -> None:
        """Raises `CannotConfine`, but for those that are only `gladly` layered."""
        for each in folders:
            with contextlib.suppress(CannotConfine) if each in gladly else contextlib.nullcontext():
                self.put_over(each)

    def put_over(self, folder: Path) -> None:
        """Raises `CannotConfine`."""
        if any(mark in str(folder) for mark in _UNFIT) or folder == Path("/"):
            raise CannotConfine(f"{folder}: no layer can be put over it")
        try:
            self._mount(folder)
        except CannotConfine:
            if self._in_memory or self.done:
                raise
            self._in_memory = True  # a container's own disk is made of layers, which take no further ones
            _mount(Path("tmpfs"), self.folder, b"tmpfs", 0, "mode=0700")
            self._mount(folder)
        self.done.append(folder)

    def _mount(self, folder: Path) -> None:
        number = len(self.done)
        above, work = self.folder / str(number), self.folder / f"{number}.work"
        for each in (above, work):
            each.mkdir(mode=0o700, exist_ok=True)
        options = f"lowerdir={folder},upperdir={above},workdir={work},userxattr"
        _mount(Path("overlay"), folder, b"overlay", 0, options)


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _unshare() -> None:
    uid, gid = os.getuid(), os.getgid()
    if _libc().unshare(_NEWNS | _NEWNET) == 0:
        return
    if _libc().unshare(_NEWUSER | _NEWNS | _NEWNET) != 0:
        raise CannotConfine(
            f"no namespaces of its own can be made here: {os.strerror(ctypes.get_errno())}",
            remedy="replay where user namespaces are allowed (sysctl user.max_user_namespaces), or as root",
        )
    for name, text in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")):
        Path("/proc/self", name).write_text(text, "ascii")


def _mount(source: Path | None, target: Path, kind: bytes | None, flags: int, options: str | None) -> None:
    words = None if options is None else os.fsencode(options)
    given = None if source is None else os.fsencode(source)
    if _libc().mount(given, os.fsencode(target), kind, ctypes.c_ulong(flags), words) != 0:
        raise CannotConfine(f"{target}: a layer cannot be mounted: {os.strerror(ctypes.get_errno())}")


def _set_read_only(folder: Path, *, read_only: bool, recursive: bool) -> None:
    attributes = struct.pack("QQQQ", _ATTR_RDONLY if read_only else 0, 0 if read_only else _ATTR_RDONLY, 0, 0)
    flags = _AT_RECURSIVE if recursive else 0
    libc = _libc()
    done = libc.syscall(
        _MOUNT_SETATTR, _AT_FDCWD, os.fsencode(folder), flags, attributes, ctypes.c_size_t(len(attributes))
    )
    if done != 0 and not (not read_only and ctypes.get_errno() == errno.EINVAL):  # /dev/shm that is no mount
        raise CannotConfine(f"{folder}: cannot be made read-only: {os.strerror(ctypes.get_errno())}")


def _raise_loopback() -> None:
    """Ranks of one machine find each other there."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        request = struct.pack("16sH14x", b"lo", 0)
        flags = struct.unpack("16sH14x", fcntl.ioctl(control, _SIOCGIFFLAGS, request))[1]
        fcntl.ioctl(control, _SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", flags | _IFF_UP))
