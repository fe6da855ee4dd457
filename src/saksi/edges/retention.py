"""How much a home holds, and letting go of whole runs that ended long ago.

Only a run whose last record is an exit is removed, only when nobody holds its lock, and only as a whole: a run without
an end is evidence that something ended it. What was removed stands in `removed.jsonl` in the home, with the size and
root that its last head signed, so that a bundle or an anchor of it can still be told from a forgery.
"""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
from pathlib import Path
from typing import Final

import msgspec

from saksi.edges.run_accounts import account_of
from saksi.edges.runs import open_run
from saksi.edges.store.durable import flush_folder, told, write_all
from saksi.proofs.tlog.log_checkpoint import parse_log_checkpoint
from saksi.proofs.tlog.note import parse_note
from saksi.words.codec import decode_record
from saksi.words.errors import SaksiError
from saksi.words.records import ExitRecord
from saksi.words.run import RUN_ID

__all__ = ["REMOVED", "Removed", "remove_ended", "usage_of"]

_logger = logging.getLogger(__name__)

REMOVED: Final = "removed.jsonl"
_GOING: Final = ".removing-"
_SECTOR: Final = 512


class Removed(msgspec.Struct, frozen=True, kw_only=True):
    """A run that was removed: what its last head said, and when it had ended."""

    run: str
    account: int | None
    ended_wall_ns: int
    removed_wall_ns: int
    size: int
    root: str


def usage_of(folder: Path) -> int:
    """What everything below `folder` takes on the disk, in bytes. Never raises; what goes meanwhile is not counted."""
    total = 0
    for where, _, files in os.walk(folder):
        for name in files:
            try:
                total += os.lstat(os.path.join(where, name)).st_blocks * _SECTOR  # noqa: PTH118 - many files
            except OSError:
                continue
    return total


def remove_ended(home: Path, *, before_ns: int, now_ns: int) -> tuple[Removed, ...]:
    """Remove the whole ended runs of `home` whose last record is older than `before_ns`. One that fails is logged."""
    runs = home / "runs"
    removed: list[Removed] = []
    if not runs.is_dir():
        return ()
    for folder in sorted(runs.iterdir()):
        if folder.name.startswith(_GOING):  # a removal that was cut short; it is told of already
            shutil.rmtree(folder, ignore_errors=True)
        elif RUN_ID.fullmatch(folder.name):
            try:
                gone = _remove(home, folder, before_ns=before_ns, now_ns=now_ns)
            except (SaksiError, OSError) as error:
                _logger.warning("run %s is kept: %s", folder.name, error)
                continue
            removed += [] if gone is None else [gone]
    return tuple(removed)


def _remove(home: Path, folder: Path, *, before_ns: int, now_ns: int) -> Removed | None:
    if (folder / "head").stat().st_mtime_ns >= before_ns:
        return None  # the head moves with every record: no need to read the run
    lock = os.open(folder / "lock", os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:  # an agent writes it
        os.close(lock)
        return None
    try:
        gone = _ended(folder, before_ns=before_ns, now_ns=now_ns)
        if gone is not None:
            _tell(home, gone)
            going = folder.with_name(f"{_GOING}{folder.name}")
            folder.rename(going)
            shutil.rmtree(going)
        return gone
    finally:
        os.close(lock)


def _ended(folder: Path, *, before_ns: int, now_ns: int) -> Removed | None:
    found = open_run(folder)
    if found.head is None or found.short is not None or not found.entries:
        return None
    last = decode_record(found.entries[-1])
    if not isinstance(last, ExitRecord) or last.wall_ns >= before_ns:
        return None
    head = parse_log_checkpoint(parse_note(found.head).text)
    return Removed(
        run=folder.name,
        account=account_of(folder),
        ended_wall_ns=last.wall_ns,
        removed_wall_ns=now_ns,
        size=head.size,
        root=head.root.hex(),
    )


def _tell(home: Path, gone: Removed) -> None:
    path = home / REMOVED
    with told("write", path):
        fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            write_all(fd, msgspec.json.encode(gone) + b"\n")
            os.fsync(fd)
        finally:
            os.close(fd)
        flush_folder(home)
