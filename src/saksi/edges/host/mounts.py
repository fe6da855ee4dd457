"""Mounts of this process's own namespace, as the kernel makes them.

Source: mount(2), mount_setattr(2).
"""

from __future__ import annotations

import ctypes
import os
import struct
from pathlib import Path
from typing import Final

from saksi.words.errors import SaksiError

__all__ = [
    "NO_DEVICES",
    "READ_ONLY",
    "CannotConfine",
    "bind",
    "keep_mounts_private",
    "libc",
    "mount",
    "move",
    "set_attributes",
]

READ_ONLY: Final = 1
NO_DEVICES: Final = 4
"""Attributes of a mount: nothing is written through it, and its device nodes cannot be opened."""

_MS_BIND_REC: Final = 0x1000 | 0x4000
_MS_MOVE: Final = 0x2000
_MS_REC_PRIVATE: Final = 0x4000 | (1 << 18)
_MOUNT_SETATTR: Final = 442
"""The number of the call on every architecture that is newer than it."""
_AT_FDCWD: Final = -100
_AT_RECURSIVE: Final = 0x8000


class CannotConfine(SaksiError):
    """This system does not allow it; nothing was started."""


def libc() -> ctypes.CDLL:
    """What calls of it fail with is in `ctypes.get_errno`."""
    return ctypes.CDLL(None, use_errno=True)


def keep_mounts_private() -> None:
    """What is mounted from now on is seen in no other namespace. Raises `CannotConfine`."""
    _mount(None, Path("/"), None, _MS_REC_PRIVATE, None)


def bind(source: Path, target: Path) -> None:
    """Show what is at the first, and what is mounted below it, at the second too. Raises `CannotConfine`."""
    _mount(source, target, None, _MS_BIND_REC, None)


def move(source: Path, target: Path) -> None:
    """Move what is mounted at the first, and below it, over the second. Raises `CannotConfine`."""
    _mount(source, target, None, _MS_MOVE, None)


def mount(kind: str, target: Path, options: str) -> None:
    """A new file system of that kind. Raises `CannotConfine`."""
    _mount(Path(kind), target, os.fsencode(kind), 0, options)


def set_attributes(folder: Path, *, add: int = 0, remove: int = 0, recursive: bool = False) -> None:
    """Of what is mounted there. Raises `OSError`: with `EINVAL` where nothing is."""
    attributes = struct.pack("QQQQ", add, remove, 0, 0)
    flags = _AT_RECURSIVE if recursive else 0
    done = libc().syscall(
        _MOUNT_SETATTR, _AT_FDCWD, os.fsencode(folder), flags, attributes, ctypes.c_size_t(len(attributes))
    )
    if done != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(folder))


def _mount(source: Path | None, target: Path, kind: bytes | None, flags: int, options: str | None) -> None:
    words = None if options is None else os.fsencode(options)
    given = None if source is None else os.fsencode(source)
    if libc().mount(given, os.fsencode(target), kind, ctypes.c_ulong(flags), words) != 0:
        raise CannotConfine(f"{target}: a layer cannot be mounted: {os.strerror(ctypes.get_errno())}")
