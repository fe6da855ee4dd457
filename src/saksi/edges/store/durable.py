"""What it takes for bytes to be on the device, and one line for a person when they are not.

References: the fsync(2), open(2), rename(2) manual pages of Linux; Rebello et al., "Can Applications
Recover from fsync Failures?" (USENIX ATC 2020); https://wiki.postgresql.org/wiki/Fsync_Errors.

- A file's bytes are durable after `fsync` of the file; its *name* is durable after `fsync` of the folder
  that holds the name. A new folder needs both in turn, up to one that is known to be durable.
- After `fsync` failed once, Linux may mark the pages clean: a second `fsync` succeeds although nothing was
  written, and reads return bytes the device does not have. So nobody here tries again. The error goes up,
  the writer stops, and whoever reopens takes nothing for durable that was not acknowledged before.
- `fdatasync` is enough for a journal that grows: it flushes the new size, and leaves out the times.

BUG: on a device that lies about its write cache, or under `nobarrier`, nothing here helps.

BUG: on NFS the error of a flush may first appear at `close`; we do not treat a failed `close` after a good
`fsync` as a failed write. Logs are not kept on network file systems while they are written (see
`edges.filesystem`).
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Final

from saksi.words.errors import StoreError

__all__ = ["flush_folder", "make_folders", "told", "write_all", "write_new", "write_whole"]

FILE_MODE: Final = 0o600
FOLDER_MODE: Final = 0o700

_REMEDIES: Final = {
    errno.ENOSPC: "the disk is full: free space, or set SAKSI_SCRATCH to a disk that has some",
    errno.EDQUOT: "your quota is used up: free space, or set SAKSI_SCRATCH to another disk",
    errno.EROFS: "the file system is read-only: set SAKSI_HOME or SAKSI_SCRATCH to one that can be written",
    errno.EACCES: "check the owner and the mode of the folder: saksi needs to own it",
    errno.EPERM: "check the owner and the mode of the folder: saksi needs to own it",
    errno.EIO: "the device reported an error: look at the kernel's log before you trust this disk",
    errno.EMFILE: "too many open files: raise `ulimit -n`",
    errno.ENFILE: "too many open files on this machine",
    errno.ELOOP: "a symbolic link stands where a file of saksi should be: look who put it there",
    errno.ESTALE: "the network file system lost the file: do not keep logs there",
}


@contextmanager
def told(verb: str, path: Path) -> Iterator[None]:
    """Turn an `OSError` inside into a `StoreError` of one line: what failed, on what file, and the remedy."""
    try:
        yield
    except OSError as error:
        number = error.errno or 0
        reason = os.strerror(number) if number else str(error)
        raise StoreError(f"cannot {verb} {path}: {reason}", remedy=_REMEDIES.get(number)) from error


def write_all(fd: int, content: bytes | memoryview) -> None:
    """Write every byte of `content`. Raises `OSError`; then part of it may be in the file."""
    rest = memoryview(content)
    while rest:
        # write(2) may stop short (signals, 2 GiB limit, a disk that is nearly full); the next call names
        # the reason.
        rest = rest[os.write(fd, rest) :]


def write_new(path: Path, content: bytes, *, durable: bool) -> None:
    """Make the file `path`, which must not exist, with `content`; flushed if `durable`. Raises `OSError`."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, FILE_MODE)
    try:
        write_all(fd, content)
        if durable:
            os.fsync(fd)
    finally:
        os.close(fd)


def write_whole(path: Path, content: bytes, *, mode: int = FILE_MODE) -> None:
    """Make the file `path`, which must not exist, flushed and with all of `content`, or leave nothing there.

    Whatever ends the writing (a full disk, Ctrl-C), half a file would be taken for a changed one. Only a file that was
    made here is removed. Raises `OSError`.
    """
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, FILE_MODE)
    with ExitStack() as undo:
        undo.callback(_remove, path)
        with open(fd, "wb", buffering=0):  # noqa: PTH123 - a descriptor, opened above: closed in any case
            write_all(fd, content)
            os.fchmod(fd, mode)
            os.fsync(fd)
        undo.pop_all()


def _remove(path: Path) -> None:
    with suppress(OSError):  # what went wrong with the file is told, not that it could not be removed either
        path.unlink(missing_ok=True)


def flush_folder(path: Path) -> None:
    """Make the names in this folder durable. Raises `OSError`."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def make_folders(path: Path, *, durable: bool = True) -> None:
    """Make `path` and what is missing above it, each 0700, and flush the names if asked. Raises `OSError`."""
    if path.is_dir():
        return
    make_folders(path.parent, durable=durable)
    try:
        path.mkdir(mode=FOLDER_MODE)
    except FileExistsError:
        if not path.is_dir():
            raise
    if durable:
        flush_folder(path.parent)
