"""Hashing one file so that the digest belongs to one state of it.

The job chooses the path: only regular files are opened, none is read further than its size, and nothing raises.

Where the job's account is not ours, a path must not be a question about files that only we may see. What that account
could not see itself is answered as if it were not there, in the same words whatever is there.
"""

from __future__ import annotations

import hashlib
import io
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from saksi.words.digest import Digest

__all__ = ["FileState", "HashedFile", "OnBehalf", "ReadFile", "hash_file", "read_file", "state_of"]

BUFFER: Final = 1 << 20
MAX_FILE_BYTES: Final = 1 << 41
"""2 TiB, an hour of reading: more is a sparse file or no file at all (/proc/kcore)."""

UNSEEN: Final = "no such file, or no permission: nothing that both the job's account and the agent's may read"


class OnBehalf(msgspec.Struct, frozen=True, kw_only=True):
    """For which account a file is read, and the folders of which it must learn nothing, whoever owns what is there."""

    account: int
    private: tuple[Path, ...] = ()

    def may_know(self, found: os.stat_result, where: Path) -> bool:
        """Whether that account could see the file at the resolved path `where` by itself. Raises `OSError`.

        Its groups are not known: what only a group may read counts as not seen.
        """
        if any(where.is_relative_to(each) for each in self.private):
            return False
        if found.st_uid == self.account:
            return True
        if not found.st_mode & stat.S_IROTH or found.st_uid == os.geteuid():
            return False
        return all(self._may_enter(each.stat()) for each in where.parents)

    def _may_enter(self, folder: os.stat_result) -> bool:
        return bool(folder.st_mode & (stat.S_IXUSR if folder.st_uid == self.account else stat.S_IXOTH))


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


class ReadFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file's content and its digest; `content` is `None` where there is no digest. `changed_ns` is its ctime."""

    found: HashedFile
    content: bytes | None = None
    changed_ns: int | None = None


def state_of(found: os.stat_result) -> FileState:
    """The state in a stat result."""
    return FileState(device=found.st_dev, inode=found.st_ino, size=found.st_size, mtime_ns=found.st_mtime_ns)


def hash_file(
    path: Path,
    expected: FileState | None,
    *,
    on_behalf_of: OnBehalf | None = None,
    look: Callable[[io.FileIO], None] | None = None,
) -> HashedFile:
    """The digest of `path` as it was in state `expected` (any state if `None`). Never raises.

    With `on_behalf_of`, only what that account could see by itself, and nothing is told of anything else.

    One read through a reused buffer, the file's state compared before and after: a file that changed meanwhile, or
    is no longer the one that was named, has no digest and a reason. A writer that restores size and modification
    time within the read is not seen here. `look` is given the file that was hashed, in the same state, and may read on
    in it; what it raises counts as a file that cannot be read.
    """
    return _reading(path, lambda file: _hash(file, expected, on_behalf_of, look), on_behalf_of)


def read_file(path: Path, limit: int, *, on_behalf_of: OnBehalf | None = None) -> ReadFile:
    """The content of `path`, of at most `limit` bytes, under the rules of `hash_file`. Never raises."""
    held: list[tuple[bytes, int]] = []
    found = _reading(path, lambda file: _read(file, limit, on_behalf_of, held), on_behalf_of)
    if found.digest is None or not held:
        return ReadFile(found=found)
    content, changed_ns = held[0]
    return ReadFile(found=found, content=content, changed_ns=changed_ns)


def _reading(path: Path, act: Callable[[io.FileIO], HashedFile], on_behalf_of: OnBehalf | None) -> HashedFile:
    unseen = None if on_behalf_of is None else _without_digest(None, UNSEEN)
    try:
        found = path.stat()
        if unseen is not None and on_behalf_of is not None and not on_behalf_of.may_know(found, path.resolve()):
            return unseen
        if not stat.S_ISREG(found.st_mode):  # asked before it is opened: opening a device can do something
            return _without_digest(None, "not a regular file")
        # Without blocking, should a FIFO have taken the file's place since.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        with open(descriptor, "rb", buffering=0) as file:  # noqa: PTH123 - a descriptor, opened above
            return act(file)
    except PermissionError:
        return unseen or _without_digest(None, "permission: the agent's account may not read it")
    except OSError as error:
        return unseen or _without_digest(None, error.strerror or type(error).__name__)
    except Exception as error:  # noqa: BLE001 - a path is anything a job can say (NUL), and memory can be short
        return unseen or _without_digest(None, f"it cannot be read: {type(error).__name__}")


def _read(file: io.FileIO, limit: int, on_behalf_of: OnBehalf | None, held: list[tuple[bytes, int]]) -> HashedFile:
    before = os.fstat(file.fileno())
    if on_behalf_of is not None and not on_behalf_of.may_know(before, _opened(file)):
        return _without_digest(None, UNSEEN)
    if not stat.S_ISREG(before.st_mode):
        return _without_digest(None, "not a regular file")
    if before.st_size > limit:
        return _without_digest(before.st_size, f"more than the {limit:,} bytes that are read")
    content = b""
    while len(content) <= limit and (piece := file.read(limit + 1 - len(content))):
        content += piece
    after = os.fstat(file.fileno())
    if len(content) != before.st_size or (state_of(after), after.st_ctime_ns) != (state_of(before), before.st_ctime_ns):
        return _without_digest(before.st_size, "the file changed while it was read, or is not as long as it says")
    held.append((content, after.st_ctime_ns))
    return HashedFile(digest=Digest(hashlib.sha256(content).digest()), size=len(content), reason=None)


def _hash(
    file: io.FileIO,
    expected: FileState | None,
    on_behalf_of: OnBehalf | None,
    look: Callable[[io.FileIO], None] | None,
) -> HashedFile:
    found = os.fstat(file.fileno())
    before = state_of(found)
    # Asked again of the file that was opened: another one may have taken the path since.
    if on_behalf_of is not None and not on_behalf_of.may_know(found, _opened(file)):
        return _without_digest(None, UNSEEN)
    if not stat.S_ISREG(found.st_mode):
        return _without_digest(None, "not a regular file")
    if expected is not None and before != expected:
        return _without_digest(before.size, "the file was replaced or changed before it was read")
    if before.size > MAX_FILE_BYTES:
        return _without_digest(before.size, f"more than {MAX_FILE_BYTES:,} bytes are not read")
    hasher = hashlib.sha256()
    buffer = bytearray(BUFFER)
    view = memoryview(buffer)
    length = 0
    try:
        while length <= before.size and (count := file.readinto(buffer)):
            hasher.update(view[:count])
            length += count
        if look is not None and length == before.size:
            look(file)
    except OSError as error:
        return _without_digest(before.size, error.strerror or type(error).__name__)
    if length != before.size or state_of(os.fstat(file.fileno())) != before:  # files of /proc have no size at all
        return _without_digest(before.size, "the file changed while it was read, or is not as long as it says")
    return HashedFile(digest=Digest(hasher.digest()), size=before.size, reason=None)


def _opened(file: io.FileIO) -> Path:
    return Path(f"/proc/self/fd/{file.fileno()}").readlink()


def _without_digest(size: int | None, reason: str) -> HashedFile:
    return HashedFile(digest=None, size=size, reason=reason)
