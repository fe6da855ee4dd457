"""Facts about one file, kept in the node-local cache for as long as the file is the same.

Rules (those of git's index): a file is the same if device, inode, size, mtime and ctime are; a file that was touched
within the last two seconds, or in the future, is not remembered, since a later change could leave the same stamp. The
cache is only believed if this account owns it and nobody else can write it. Losing it costs time, nothing else.
"""

from __future__ import annotations

import hashlib
import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import Final, Generic, TypeVar

import msgspec

__all__ = ["Stamp", "recall", "remember", "stamp_of"]

RACY_NS: Final = 2_000_000_000
"""The coarsest time stamps in use (FAT, some network file systems) are two seconds apart."""
_MAX_BYTES: Final = 1 << 20

_Facts = TypeVar("_Facts")


class Stamp(msgspec.Struct, frozen=True, kw_only=True):
    """Which file, in which state."""

    path: str
    device: int
    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int


class _Entry(msgspec.Struct, Generic[_Facts], frozen=True, kw_only=True, forbid_unknown_fields=True):
    stamp: Stamp
    facts: _Facts


def stamp_of(path: Path) -> Stamp:
    """The stamp of the file at `path`, links followed. Raises `OSError`."""
    found = path.stat()
    return Stamp(
        path=str(path),
        device=found.st_dev,
        inode=found.st_ino,
        size=found.st_size,
        mtime_ns=found.st_mtime_ns,
        ctime_ns=found.st_ctime_ns,
    )


def recall(cache: Path, stamp: Stamp, kind: type[_Facts]) -> _Facts | None:
    """What was remembered about the file in exactly this state, or `None`."""
    try:
        descriptor = os.open(_place(cache, stamp, kind), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    with open(descriptor, "rb") as file:  # noqa: PTH123 - a descriptor, opened without following a link
        found = os.fstat(file.fileno())
        if found.st_uid != os.geteuid() or found.st_mode & 0o022 or not stat.S_ISREG(found.st_mode):
            return None
        content = file.read(_MAX_BYTES)
    try:
        entry = msgspec.json.decode(content, type=_Entry[kind])  # type: ignore[valid-type] # a type, at run time
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return entry.facts if entry.stamp == stamp else None


def remember(cache: Path, stamp: Stamp, facts: object, *, now_ns: int) -> None:
    """Keep `facts` about the file in this state, unless it is too young. Never raises `OSError`."""
    if now_ns - max(stamp.mtime_ns, stamp.ctime_ns) <= RACY_NS:
        return
    place = _place(cache, stamp, type(facts))
    staged = place.with_name(f"{place.name}.{os.getpid()}")
    try:
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        staged.write_bytes(msgspec.json.encode(_Entry(stamp=stamp, facts=facts)))
        staged.chmod(0o600)
        staged.replace(place)
    except (OSError, UnicodeEncodeError):
        with suppress(OSError):
            staged.unlink()


def _place(cache: Path, stamp: Stamp, kind: type) -> Path:
    name = hashlib.sha256(stamp.path.encode("utf-8", "surrogateescape")).hexdigest()
    return cache / "remembered" / f"{kind.__name__.lower()}-{name[:32]}.json"
