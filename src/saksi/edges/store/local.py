"""A run's store in a folder of a local disk. `Store` says what is promised; this file says how.

    <run>/lock                      flock held by the writer; its text is the writer's process id
    <run>/head                      replaced as a whole: staged file, fsync, rename, fsync of the folder
    <run>/journal                   O_APPEND, one fdatasync per append
    <run>/log/…, <run>/blobs/…      objects: staged file, fsync, link, fsync of the folder
    <run>/.staging/                 files on their way to a name; emptied by the next writer

Objects are staged in one folder of the same run, not beside their target, so that what a crash leaves
behind is found without walking a tree of thousands of tiles. It is the same file system, which is all that
`link` and `rename` ask.

A flock belongs to the open file and dies with the process, however it dies; a stale text in `lock` means
nothing.

BUG: a child forked without exec keeps the lock as long as it lives. The agent does not fork; commands it
starts are exec'ed, and O_CLOEXEC takes the lock from them.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import itertools
import os
import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from saksi.edges.store.durable import (
    FILE_MODE,
    FOLDER_MODE,
    flush_folder,
    make_folders,
    told,
    write_all,
    write_new,
)
from saksi.edges.store.names import checked_name, checked_partial, checked_prefix
from saksi.words.errors import Conflict, HeadConflict, LogBusy, NotStored, StoreError

__all__ = ["LocalStore"]

_STAGING: Final = ".staging"
# O_NONBLOCK: a FIFO put in place of a file must not hold a reader for ever. O_NOFOLLOW: nor lead it
# elsewhere.
_READ: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class LocalStore:
    """The store of one run in `folder`. Makes the folder when it is first locked, never when it is read."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock_fd: int | None = None
        self._journal_fd: int | None = None
        self._staged = itertools.count()
        self._named = threading.Lock()  # write_once looks, then links: one at a time
        self._durable_folders: set[Path] = set()  # folders whose own name is known to be durable
        self._in_doubt = False  # a write of journal or head failed: what reads back may not be on the device

    # -- reading

    def read(self, name: str) -> bytes:
        """See `Store.read`."""
        path = self.folder / checked_name(name)
        content = self._bytes_of(path)
        if content is None:
            raise NotStored(f"no object {path}")
        return content

    def load_head(self) -> bytes | None:
        """See `Store.load_head`."""
        return self._bytes_of(self.folder / "head")

    def journal(self, offset: int = 0, limit: int | None = None) -> bytes:
        """See `Store.journal`."""
        return self._bytes_of(self.folder / "journal", offset, limit) or b""

    def _bytes_of(self, path: Path, offset: int = 0, limit: int | None = None) -> bytes | None:
        with told("read", path):
            try:
                fd = os.open(path, _READ)
            except (FileNotFoundError, NotADirectoryError):
                return None
            with os.fdopen(fd, "rb", buffering=0) as file:
                if not stat.S_ISREG(os.fstat(fd).st_mode):
                    raise StoreError(f"cannot read {path}: it is not a regular file")
                file.seek(offset)
                return _exactly(file.fileno(), limit)

    def names(self, prefix: str) -> Iterator[str]:
        """See `Store.names`."""
        checked_prefix(prefix)
        top = self.folder / prefix.rpartition("/")[0]
        found: list[str] = []

        def refuse(error: OSError) -> None:
            if not isinstance(error, FileNotFoundError):
                raise error

        with told("list", top):
            for where, _folders, files in os.walk(top, onerror=refuse):
                below = Path(where).relative_to(self.folder).as_posix()
                found += [f"{below}/{file}" for file in files]
        # Objects have two segments or more: `head`, `journal`, `lock` and what is staged are none.
        objects = (n for n in found if n.startswith(prefix) and not n.startswith("."))
        return iter(sorted(objects))

    # -- objects

    def write_once(self, name: str, content: bytes, *, durable: bool = True) -> None:
        """See `Store.write_once`."""
        path = self.folder / checked_name(name)
        self._must_hold_lock(path)
        with told("write", path), self._named:
            if not self._same_bytes_there(path, content, durable=durable):
                staged = self._stage(content, durable=durable)
                try:
                    self._link(staged, path, content)
                except (OSError, StoreError):
                    staged.unlink(missing_ok=True)
                    raise
            if durable:
                flush_folder(path.parent)
                self._flush_names_above(path.parent)

    def _same_bytes_there(self, path: Path, content: bytes, *, durable: bool) -> bool:
        there = self._bytes_of(path)
        if there is None:
            return False
        if there != content:
            raise Conflict(f"{path} already holds other bytes", remedy="run `saksi fsck` on this run")
        if durable:
            # The earlier write may have been one that nobody flushed, or one whose flush was cut short.
            fd = os.open(path, _READ)
            try:
                os.fsync(fd)
            finally:
                os.close(fd)
        return True

    def _link(self, staged: Path, path: Path, content: bytes) -> None:
        """Give the staged file its name without ever overwriting, then drop the staged name."""
        make_folders(path.parent, durable=False)
        try:
            os.link(staged, path)
        except FileExistsError:
            if self._bytes_of(path) != content:
                raise Conflict(f"{path} already holds other bytes") from None
        except OSError as error:
            if error.errno not in (errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK, errno.ENOSYS):
                raise
            # No hard links here (exFAT, some FUSE): the lock and the look before make the rename safe enough.
            staged.rename(path)
            return
        staged.unlink()

    def replace(self, name: str, content: bytes) -> None:
        """See `Store.replace`."""
        path = self.folder / checked_name(name)
        self._must_hold_lock(path)
        with told("write", path):
            make_folders(path.parent, durable=False)
            self._stage(content, durable=True).rename(path)
            flush_folder(path.parent)
            self._flush_names_above(path.parent)

    def discard(self, name: str) -> None:
        """See `Store.discard`."""
        path = self.folder / checked_partial(name)
        self._must_hold_lock(path)
        with told("remove", path):
            path.unlink(missing_ok=True)
            try:
                path.parent.rmdir()  # the `NNN.p` folder, once its last width is gone
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOENT):
                    raise

    def _stage(self, content: bytes, *, durable: bool) -> Path:
        staged = self.folder / _STAGING / str(next(self._staged))
        try:
            write_new(staged, content, durable=durable)
        except OSError:
            with contextlib.suppress(OSError):  # on a full disk what is half staged takes the room of what comes next
                staged.unlink()
            raise
        return staged

    def _flush_names_above(self, folder: Path) -> None:
        """Make the names of `folder` and the folders above it, up to the run's, durable; each once."""
        while folder != self.folder and folder not in self._durable_folders:
            flush_folder(folder.parent)
            self._durable_folders.add(folder)
            folder = folder.parent

    # -- journal and head

    def append(self, frame: bytes) -> None:
        """See `Store.append`."""
        path = self.folder / "journal"
        fd = self._must_hold_lock(path)
        with told("append to", path), self._doubted():
            write_all(fd, frame)
            os.fdatasync(fd)

    def cut_journal(self, length: int) -> None:
        """See `Store.cut_journal`."""
        path = self.folder / "journal"
        fd = self._must_hold_lock(path)
        with told("cut", path):
            if os.fstat(fd).st_size > length:
                os.ftruncate(fd, length)
                os.fsync(fd)

    def swap_head(self, expected: bytes | None, replacement: bytes) -> None:
        """See `Store.swap_head`."""
        path = self.folder / "head"
        self._must_hold_lock(path)
        with told("write", path):
            # Between this look and the rename only the holder of the lock could come in, and that is us.
            if self._bytes_of(path) != expected:
                raise HeadConflict(f"{path} is not the head this writer expected to replace")
            with self._doubted():
                self._stage(replacement, durable=True).rename(path)
                flush_folder(self.folder)

    @contextlib.contextmanager
    def _doubted(self) -> Iterator[None]:
        try:
            yield
        except OSError:
            self._in_doubt = True
            raise

    # -- one writer

    def lock(self) -> None:
        """See `Store.lock`."""
        if self._lock_fd is not None:
            if self._in_doubt:
                self._settle()
            return
        path = self.folder / "lock"
        with told("lock", path):
            make_folders(self.folder)
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, FILE_MODE)
            try:
                self._take(fd, path)
                self._prepare()
            except BaseException:
                os.close(fd)
                raise
            self._lock_fd = fd

    def _take(self, fd: int, path: Path) -> None:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            said = os.pread(fd, 20, 0).strip()
            holder = said.decode("ascii") if said.isdigit() else "unknown"
            raise LogBusy(
                f"{path}: process {holder} is writing this log", remedy="wait until it ends, or end it"
            ) from None
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"{os.getpid()}\n".encode("ascii"), 0)

    def _prepare(self) -> None:
        """With the lock held: open the journal, empty the staging folder, flush the folder's own names."""
        staging = self.folder / _STAGING
        if staging.is_symlink():  # what lies behind a link is not ours to empty
            raise StoreError(f"{staging} is a link", remedy="remove it")
        staging.mkdir(mode=FOLDER_MODE, exist_ok=True)
        for left in staging.iterdir():
            left.unlink()
        # O_NONBLOCK: a FIFO in the journal's place must not hold the writer for ever.
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        fd = os.open(self.folder / "journal", flags, FILE_MODE)
        try:
            _must_be_a_file(fd, self.folder / "journal")
            # What a writer before us left unflushed is flushed before anyone builds on it.
            os.fsync(fd)
            flush_folder(self.folder)
        except BaseException:
            os.close(fd)
            raise
        self._journal_fd = fd

    def _settle(self) -> None:
        """After a failed write: make durable what the caller, who reopens, is about to read and to rely on.

        Flushing again proves nothing (see `durable`). The head that reads back is written once more, as new bytes
        under a new name; the journal up to it was flushed before the head was swapped, and what follows is cut.
        """
        path = self.folder / "head"
        with told("write", path):
            head = self._bytes_of(path)
            if head is not None:
                self._stage(head, durable=True).rename(path)
            flush_folder(self.folder)
        self._in_doubt = False

    def _must_hold_lock(self, path: Path) -> int:
        if self._lock_fd is None or self._journal_fd is None:
            raise StoreError(f"cannot write {path}: it is not locked for writing", remedy="lock the store first")
        return self._journal_fd

    def close(self) -> None:
        """See `Store.close`."""
        for fd in (self._journal_fd, self._lock_fd):
            if fd is not None:
                os.close(fd)
        self._journal_fd = self._lock_fd = None
        self._in_doubt = False


def _exactly(fd: int, limit: int | None) -> bytes:
    """The rest of the file, or `limit` bytes of it."""
    parts: list[bytes] = []
    wanted = limit
    while wanted is None or wanted > 0:
        part = os.read(fd, (1 << 24) if wanted is None else min(wanted, 1 << 24))
        if not part:
            break
        parts.append(part)
        if wanted is not None:
            wanted -= len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _must_be_a_file(fd: int, path: Path) -> None:
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        raise StoreError(f"{path} is not a file", remedy="run `saksi verify` on this run")
