"""On which disk a log is written, and how a closed run's folder gets home.

Rules:

1. A log is written on a local disk. Home folders on network file systems are normal on clusters, so a run whose home
   is on one is written to `SAKSI_SCRATCH`, else to `/var/tmp/saksi-<uid>`, and moved home when it is closed.
2. Never on a tmpfs: what a reboot empties is not a record.
3. The fallback folder is 0700 and ours. `/var/tmp` is open to every account, so a folder of that name that somebody
   else made first, or a symbolic link, is refused and not repaired.
4. A move can be cut anywhere and is finished by the next command: copy to `<run>.incoming`, flush, compare, rename,
   only then remove the source. Until the rename the source is the run; after it the home is.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

from saksi.edges.store.durable import FILE_MODE, FOLDER_MODE, flush_folder, make_folders, told, write_all
from saksi.words.errors import LogBusy, StoreError, UsageError

__all__ = [
    "LogFolder",
    "choose_log_folder",
    "filesystem_of",
    "filesystem_type",
    "finish_moves",
    "is_network",
    "is_volatile",
    "move_home",
]

_NETWORK: Final = frozenset(
    {
        *("nfs", "nfs4", "cifs", "smb3", "smbfs", "ncpfs", "afs", "coda", "9p", "ceph", "lustre", "gpfs", "mmfs"),
        *("beegfs", "fhgfs_client", "orangefs", "pvfs2", "panfs", "wekafs", "quobyte", "gfs", "gfs2", "ocfs2", "dvs"),
        *("virtiofs", "vboxsf", "prl_fs", "fuse.sshfs", "fuse.glusterfs", "fuse.ceph", "fuse.quobyte", "fuse.s3fs"),
        *("fuse.gcsfuse", "fuse.rclone", "fuse.juicefs", "fuse.goofys", "fuse.mount-s3", "fuse.blobfuse2"),
        *("fuse.gpfs", "fuse.beegfs", "fuse.moosefs", "fuse.mfs", "fuse.davfs", "davfs", "fuse.alluxio-fuse"),
    }
)
"""Types whose bytes lie on another machine. A FUSE type that is not known counts as network too (`is_network`)."""

_LOCAL_FUSE: Final = frozenset({"fuseblk", "fuse.fuse-overlayfs", "fuse.mergerfs", "fuse.encfs", "fuse.gocryptfs"})
_VOLATILE: Final = frozenset({"tmpfs", "ramfs", "devtmpfs", "rootfs"})
_ESCAPE: Final = re.compile(r"\\([0-7]{3})")
_INCOMING: Final = ".incoming"
_GOING: Final = re.compile(r"\.(.+)\.moved")  # a source whose copy is at home, on its way out
_CHUNK: Final = 1 << 20


def filesystem_type(path: str, mountinfo: str) -> str | None:
    """The type of the file system that holds the absolute, resolved `path`, or `None` if no line says so.

    `mountinfo` is the text of `/proc/<pid>/mountinfo` (proc_pid_mountinfo(5)). Of several mounts over each other the
    last line counts, as it hides the others. Lines that do not parse are passed over.
    """
    best, kind = -1, None
    for line in mountinfo.splitlines():
        before, dash, after = line.partition(" - ")
        fields, source = before.split(" "), after.split(" ")
        if not dash or len(fields) < 6 or not source[0]:  # noqa: PLR2004 - six fixed fields before the optional ones
            continue
        point = _ESCAPE.sub(lambda m: chr(int(m[1], 8)), fields[4])
        inside = path == point or path.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= best:
            best, kind = len(point), source[0]
    return kind


def is_network(kind: str | None) -> bool:
    """Whether a file system of this type must be taken for remote. An unknown type (`None`) is taken for local."""
    if kind is None:
        return False
    return kind in _NETWORK or (kind.startswith("fuse.") and kind not in _LOCAL_FUSE)


def is_volatile(kind: str | None) -> bool:
    """Whether a file system of this type is empty after a reboot."""
    return kind in _VOLATILE


def filesystem_of(path: Path, *, mountinfo: Path = Path("/proc/self/mountinfo")) -> str | None:
    """The type of the file system `path` lies on, or would lie on once made. `None` where the kernel does not say."""
    there = path.absolute()
    while not there.exists() and there != there.parent:
        there = there.parent
    try:
        text = mountinfo.read_text("utf-8", "surrogateescape")
    except OSError:
        return None
    return filesystem_type(str(there.resolve()), text)


class LogFolder(NamedTuple):
    """Where runs are written now, and whether they have to be moved home at close."""

    folder: Path
    moves_home: bool
    reason: str


def choose_log_folder(
    home: Path,
    scratch: str | None,
    kind_of: Callable[[Path], str | None],
    *,
    uid: int,
    fallback: Path = Path("/var/tmp"),  # noqa: S108 - survives a reboot; the folder below it is checked to be ours
) -> LogFolder:
    """The folder to write runs in. `scratch` is the value of `SAKSI_SCRATCH`.

    Raises `UsageError` if `SAKSI_SCRATCH` is needed and is no usable local disk, or there is no disk left to write on.
    """
    kind = kind_of(home)
    if not is_network(kind) and not is_volatile(kind):
        return LogFolder(home, moves_home=False, reason="the home is on a local disk")
    why = f"the home is on {kind}"
    if scratch:
        folder = Path(scratch)
        if not folder.is_absolute():
            raise UsageError(f"SAKSI_SCRATCH={scratch} is not an absolute path")
        _must_be_disk(folder, kind_of(folder), "SAKSI_SCRATCH")
        return LogFolder(folder, moves_home=True, reason=f"{why}; SAKSI_SCRATCH is set")
    folder = fallback / f"saksi-{uid}"
    _must_be_disk(folder, kind_of(folder), "the fallback folder")
    _own_folder(folder, uid)
    return LogFolder(folder, moves_home=True, reason=f"{why}; SAKSI_SCRATCH is not set")


def _must_be_disk(folder: Path, kind: str | None, what: str) -> None:
    if is_network(kind) or is_volatile(kind):
        raise UsageError(f"{what} {folder} is on {kind}", remedy="set SAKSI_SCRATCH to a folder on a local disk")


def _own_folder(folder: Path, uid: int) -> None:
    """Make `folder` 0700, or accept it if it is exactly that and ours."""
    with told("make", folder):
        try:
            folder.mkdir(mode=FOLDER_MODE)
        except FileExistsError:
            status = folder.lstat()
            if not stat.S_ISDIR(status.st_mode) or status.st_uid != uid or stat.S_IMODE(status.st_mode) & 0o077:
                raise UsageError(
                    f"{folder} is not a folder that belongs to you alone",
                    remedy="set SAKSI_SCRATCH to a folder on a local disk",
                ) from None


def move_home(source: Path, target: Path) -> None:
    """Move the closed run folder `source` to `target` on another file system. Can be called again after any crash.

    Raises `LogBusy` if the run is still being written, and `StoreError` if the disk refuses or both folders hold a
    run and differ; then nothing was removed.
    """
    incoming = target.with_name(target.name + _INCOMING)
    with told("move", source):
        if not source.is_dir():
            return
        lock = _claim(source)
        try:
            if not target.exists():
                make_folders(target.parent)
                _copy(source, incoming)
                _compare(source, incoming)
                incoming.rename(target)
                flush_folder(target.parent)
            _compare(source, target)  # after a crash behind the rename: look again before anything is removed
            _remove(source)
        finally:
            os.close(lock)


def finish_moves(home: Path, scratch: Path) -> list[str]:
    """Finish every move from `scratch` to `home` that was cut short. Returns the names of the runs now at home.

    A move that has begun shows as `<run>.incoming` at home, as a run in both places, or as a source renamed to go.
    Runs being written are left alone, as are runs that nobody has begun to move. Every move is tried; then the first
    `StoreError` is raised.
    """
    finished: list[str] = []
    failed: list[StoreError] = []
    for source in _folders(scratch):
        going = _GOING.fullmatch(source.name)
        target = home / (going[1] if going else source.name)
        begun = target.exists() or target.with_name(target.name + _INCOMING).exists()
        if not begun or source.name.endswith(_INCOMING):
            continue
        try:
            if going is None:
                move_home(source, target)
                finished.append(source.name)
            else:
                with told("remove", source):
                    shutil.rmtree(source)
        except LogBusy:
            continue
        except StoreError as error:
            failed.append(error)
    if failed:
        raise failed[0]
    return finished


def _folders(scratch: Path) -> list[Path]:
    with told("list", scratch):
        if not scratch.is_dir():
            return []
        return sorted(p for p in scratch.iterdir() if p.is_dir() and not p.is_symlink())


def _claim(source: Path) -> int:
    """Take the writer's lock of the run, so that nothing is written while it is copied."""
    fd = os.open(source / "lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, FILE_MODE)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        raise LogBusy(f"{source}: the run is still being written", remedy="wait until it ends") from None
    return fd


def _files(folder: Path) -> list[Path]:
    """The regular files below `folder`, relative to it. The lock and what is staged stay behind."""
    found: list[Path] = []
    for where, folders, files in os.walk(folder):
        folders[:] = sorted(f for f in folders if not f.startswith("."))
        found += [(Path(where) / f).relative_to(folder) for f in sorted(files)]
    return [f for f in found if f != Path("lock") and stat.S_ISREG((folder / f).lstat().st_mode)]


def _copy(source: Path, incoming: Path) -> None:
    if incoming.exists():
        shutil.rmtree(incoming)  # what a cut-off move left there; the source is whole
    make_folders(incoming)
    folders = {incoming}
    for relative in _files(source):
        target = incoming / relative
        make_folders(target.parent, durable=False)
        folders.update(p for p in target.parents if p.is_relative_to(incoming))
        with (source / relative).open("rb") as file:
            fd = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, FILE_MODE)
            try:
                while chunk := file.read(_CHUNK):
                    write_all(fd, chunk)
                os.fsync(fd)
            finally:
                os.close(fd)
    for folder in sorted(folders, key=lambda p: len(p.parts), reverse=True):
        flush_folder(folder)


def _compare(source: Path, target: Path) -> None:
    """Raise `StoreError` unless both folders hold the same files with the same bytes."""
    here, there = _files(source), _files(target)
    if missing := sorted(set(here) - set(there)):
        raise StoreError(f"{target}: {missing[0]} was not copied", remedy=f"{source} was kept; move it by hand")
    if extra := sorted(set(there) - set(here)):
        raise StoreError(f"{target}: {extra[0]} is not in {source}", remedy="both were kept; compare them")
    for relative in here:
        if _sha256(source / relative) != _sha256(target / relative):
            raise StoreError(f"{target}: {relative} differs from {source}", remedy="both were kept; compare them")


def _sha256(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def _remove(source: Path) -> None:
    """Remove the moved run. The new name first: a removal that is cut short never looks like a run."""
    going = source.with_name(f".{source.name}.moved")
    source.rename(going)
    flush_folder(source.parent)
    shutil.rmtree(going)
