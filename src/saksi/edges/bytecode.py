"""The kept store of bytecode: what an environment imported, compiled by us from source that we hashed.

A job is never given the `__pycache__` folders that lie beside its sources: a `.pyc` there can say something else than
its source. It gets a private prefix (`PYTHONPYCACHEPREFIX`): for the first run of an environment an empty one of its
own, afterwards the kept store, which it may read and is told not to write (`PYTHONDONTWRITEBYTECODE`).

Every `.pyc` of the store is a checked hash-based one (PEP 552): the interpreter itself compares it with the source
when it imports. The store's index holds the file system's stamp of each `.pyc`; one that changed makes the store
unusable, and the run starts with an empty prefix again. Known weakness: the same account can rewrite store and index.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Final

import msgspec

__all__ = ["INDEX", "KeptStore", "Stamped", "StoreIndex", "environment_id", "is_sound", "read_index", "stamp_of"]

INDEX: Final = "index.json"
MAX_INDEX_BYTES: Final = 64 * 1024 * 1024


class Stamped(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One `.pyc`: the source it came from, that source's digest, and the stamp of the `.pyc` itself."""

    source: str
    source_sha256: str
    pyc: str
    stamp: tuple[int, int, int, int, int]


class StoreIndex(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the store holds."""

    interpreter: str
    files: tuple[Stamped, ...]


class KeptStore(msgspec.Struct, frozen=True, kw_only=True):
    """Where one environment's store lies; its folder may not exist yet."""

    folder: Path

    @property
    def prefix(self) -> Path:
        """What `PYTHONPYCACHEPREFIX` is set to."""
        return self.folder / "prefix"


def environment_id(interpreter: str) -> str:
    """A short name for an environment: the path of its interpreter (the venv's, where it is in one), unresolved.

    The interpreter's version needs no place in it: it is part of the name of every `.pyc`.
    """
    return hashlib.sha256(interpreter.encode("utf-8", "surrogateescape")).hexdigest()[:24]


def stamp_of(path: str) -> tuple[int, int, int, int, int] | None:
    """Device, inode, size, mtime and ctime; ctime cannot be set back by an ordinary account."""
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def read_index(store: KeptStore) -> StoreIndex | None:
    """The store's index, or `None` if there is none to be read."""
    try:
        raw = (store.folder / INDEX).read_bytes()
        return msgspec.json.decode(raw, type=StoreIndex) if len(raw) <= MAX_INDEX_BYTES else None
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return None


def is_sound(store: KeptStore) -> bool:
    """Whether there is a store and every `.pyc` in it is the one that was put there."""
    index = read_index(store)
    if index is None or not index.files:
        return False
    prefix = str(store.prefix)
    return all(each.pyc.startswith(prefix) and stamp_of(each.pyc) == each.stamp for each in index.files)
