"""Digests of files that did not change, and proofs that were made: one file each in the node-local cache.

Rules:

- A digest is found by (device, inode, size, mtime, ctime), which an ordinary account cannot all set back: ctime is the
  kernel's. A file that was touched within the last two seconds, or in the future, is not kept (git's racy-clean rule),
  since a later change could leave the same stamp.
- A cache file is believed only if this account owns it, nobody else can write it, it is a plain file, and its own
  checksum fits. It is replaced whole, by a rename. Losing it costs time, nothing else.
- Only what was seen last is kept: the file is as large as the tree.

BUG: whoever writes as this account can write this file, and root can set the clock back and with it ctime. A seal, and
the end of a run, hash everything again.
"""

from __future__ import annotations

import hashlib
import os
import stat
from contextlib import suppress
from pathlib import Path
from struct import Struct
from typing import Final

from saksi.edges.environment.remembered import RACY_NS

__all__ = ["Known", "StampKey", "load_bytes", "load_table", "save_bytes", "save_table", "stamp_key"]

StampKey = bytes
_STAMP: Final = Struct("<QQQqq")
STAMP_BYTES: Final = _STAMP.size
DIGEST_BYTES: Final = 32
HEAD_BYTES: Final = 16
"""The first bytes of a file: a `.pyc` says there when Python would execute it."""
_MAGIC: Final = b"saksi.table/v1\n"
MAX_TABLE_BYTES: Final = 512 * 1024 * 1024
"""Five million files."""
_MASK: Final = (1 << 64) - 1


def stamp_key(found: os.stat_result) -> StampKey:
    """The state of a file, as 40 bytes."""
    return _STAMP.pack(found.st_dev & _MASK, found.st_ino & _MASK, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def load_table(path: Path, key: int, value: int) -> dict[bytes, bytes]:
    """The table at `path` with keys and values of these lengths; empty if there is none to be believed."""
    body = load_bytes(path)
    if body is None or len(body) % (key + value):
        return {}
    return dict(Struct(f"{key}s{value}s").iter_unpack(body))


def save_table(path: Path, table: dict[bytes, bytes]) -> None:
    """Put `table` at `path`, whole or not at all. Never raises `OSError`."""
    save_bytes(path, b"".join(key + value for key, value in table.items()))


def load_bytes(path: Path) -> memoryview | None:
    """What `save_bytes` put at `path`; `None` if there is nothing to be believed."""
    raw = _read(path)
    if raw is None or not raw.startswith(_MAGIC):
        return None
    body = memoryview(raw)[len(_MAGIC) : len(raw) - DIGEST_BYTES]
    return body if hashlib.sha256(body).digest() == raw[len(raw) - DIGEST_BYTES :] else None


def save_bytes(path: Path, body: bytes) -> None:
    """Put `body` at `path`, whole or not at all. Never raises `OSError`: a cache that is not there costs time."""
    staged = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with open(descriptor, "wb") as file:  # noqa: PTH123 - a descriptor, made with its mode
            file.writelines((_MAGIC, body, hashlib.sha256(body).digest()))
        staged.replace(path)
    except OSError:
        with suppress(OSError):
            staged.unlink()


def _read(path: Path) -> bytes | None:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        return None
    with open(descriptor, "rb") as file:  # noqa: PTH123 - a descriptor, opened without following a link
        found = os.fstat(file.fileno())
        ours = found.st_uid == os.geteuid() and not found.st_mode & 0o022
        if not ours or not len(_MAGIC) + DIGEST_BYTES <= found.st_size <= MAX_TABLE_BYTES:
            return None
        try:
            return file.read(MAX_TABLE_BYTES)
        except OSError:
            return None


class Known:
    """Digests by stamp: what was kept, and what is kept for next time."""

    def __init__(self, path: Path | None, *, now_ns: int) -> None:
        self._path = path
        self._now_ns = now_ns
        self._old = {} if path is None else load_table(path, STAMP_BYTES, DIGEST_BYTES + HEAD_BYTES)
        self._new: dict[bytes, bytes] = {}
        self._seen: list[bytes] = []

    def recall(self, key: StampKey) -> bytes | None:
        """The digest and then the first bytes of the file in exactly this state."""
        value = self._old.get(key)
        if value is not None:
            self._seen.append(key)
        return value

    def learn(self, key: StampKey, found: os.stat_result, digest: bytes, head: bytes) -> None:
        """Keep what was read, unless the file is too young."""
        if self._now_ns - max(found.st_mtime_ns, found.st_ctime_ns) > RACY_NS:
            self._new[key] = digest + head.ljust(HEAD_BYTES, b"\0")

    def save(self) -> None:
        """Write down what was seen, if it is not what was read."""
        if self._path is None or (not self._new and len(self._seen) >= len(self._old)):
            return
        save_table(self._path, {key: self._old[key] for key in self._seen} | self._new)
