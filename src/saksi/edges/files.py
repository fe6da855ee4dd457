"""Hashing one file so that the digest belongs to one state of it."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Final

import msgspec

from saksi.words.digest import Digest

__all__ = ["FileState", "HashedFile", "hash_file", "state_of"]

BUFFER: Final = 1 << 20


class FileState(msgspec.Struct, frozen=True, kw_only=True):
    """Which file, and which state of it. Equal states before and after a read bind what was read."""

    device: int
    inode: int
    size: int
    mtime_ns: int


class HashedFile(msgspec.Struct, frozen=True, kw_only=True):
    """`digest` is `None` where `reason` says why."""

    digest: Digest | None
    size: int | None
    reason: str | None


def state_of(found: os.stat_result) -> FileState:
    """The state in a stat result."""
    return FileState(device=found.st_dev, inode=found.st_ino, size=found.st_size, mtime_ns=found.st_mtime_ns)


def hash_file(path: Path, expected: FileState | None) -> HashedFile:
    """The digest of `path` as it was in state `expected` (any state if `None`). Never raises.

    One read through a reused buffer, the file's state compared before and after: a file that changed meanwhile, or
    is no longer the one that was named, has no digest and a reason. A writer that restores size and modification
    time within the read is not seen here.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        return HashedFile(digest=None, size=None, reason=error.strerror or type(error).__name__)
    with open(descriptor, "rb", buffering=0) as file:  # noqa: PTH123 - a descriptor, opened without blocking on a FIFO
        before = state_of(os.fstat(file.fileno()))
        if expected is not None and before != expected:
            return HashedFile(
                digest=None, size=before.size, reason="the file was replaced or changed before it was read"
            )
        hasher = hashlib.sha256()
        buffer = bytearray(BUFFER)
        view = memoryview(buffer)
        try:
            while count := file.readinto(buffer):
                hasher.update(view[:count])
        except OSError as error:
            return HashedFile(digest=None, size=before.size, reason=error.strerror or type(error).__name__)
        if state_of(os.fstat(file.fileno())) != before:
            return HashedFile(digest=None, size=before.size, reason="the file changed while it was read")
    return HashedFile(digest=Digest(hasher.digest()), size=before.size, reason=None)
