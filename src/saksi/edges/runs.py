"""A run's folder, read: the entries its head covers, its blobs, and whether an agent still writes it.

Rules: nothing is judged here, and nothing is verified but that a journal's frames are whole; the journal is read where
there is a head, since it is the log itself; tiles are read only in a published copy, which has no journal.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from saksi.edges.store.local import LocalStore
from saksi.edges.store.protocol import Store
from saksi.judgement.items import BlobReader
from saksi.judgement.log_materials import LogMaterials
from saksi.proofs.journal import Torn, frames_of
from saksi.proofs.projection import PUBLISHED, stored_name
from saksi.proofs.tlog.log_checkpoint import LogCheckpoint, parse_log_checkpoint
from saksi.proofs.tlog.note import parse_note
from saksi.proofs.tlog.tiles import bundles_for, decode_bundle
from saksi.words.blobs import blob_name
from saksi.words.digest import Digest
from saksi.words.errors import MalformedInput, NotStored, StoreError, UsageError
from saksi.words.run import RUN_ID

__all__ = ["RunMaterials", "is_written_now", "open_run", "read_run"]

_MAX_PID_TEXT: Final = 20


class RunMaterials(msgspec.Struct, frozen=True, kw_only=True):
    """What a run's folder holds. `entries` are those that the head covers, fewer where `short` says why."""

    run: str
    head: bytes | None
    entries: Sequence[bytes]
    blob: BlobReader
    live: bool
    short: str | None

    @property
    def log(self) -> LogMaterials:
        """The materials of `verify`."""
        return LogMaterials(run=self.run, entries=self.entries, head=self.head, blob=self.blob)

    @property
    def root(self) -> bytes | None:
        """The root that the head claims, not verified. Raises `MalformedInput`."""
        return None if self.head is None else _log_checkpoint_in(self.head).root


def open_run(folder: Path) -> RunMaterials:
    """The run in `folder`, which is named by its id.

    Raises `UsageError` if there is none, `MalformedInput` if its head or a tile does not parse, `StoreError` if the
    folder cannot be read.
    """
    if RUN_ID.fullmatch(folder.name) is None or not folder.is_dir():
        raise UsageError(f"no run in {folder}", remedy="see `saksi runs`")
    return read_run(LocalStore(folder), run=folder.name, live=is_written_now(folder))


def read_run(store: Store, *, run: str, live: bool) -> RunMaterials:
    """The run in `store`. Raises `MalformedInput` and `StoreError`."""
    head = store.load_head()
    if head is not None:
        entries, short = _from_journal(store, _log_checkpoint_in(head).size)
        return RunMaterials(run=run, head=head, entries=entries, blob=_blobs(store), live=live, short=short)
    try:
        head = store.read(PUBLISHED)
    except NotStored:
        return RunMaterials(run=run, head=None, entries=(), blob=_blobs(store), live=live, short="there is no head")
    entries, short = _from_tiles(store, _log_checkpoint_in(head).size)
    return RunMaterials(run=run, head=head, entries=entries, blob=_blobs(store), live=live, short=short)


def _log_checkpoint_in(head: bytes) -> LogCheckpoint:
    """The head's claims, not verified: only its size is used, to know how far to read."""
    return parse_log_checkpoint(parse_note(head).text)


def _from_journal(store: Store, size: int) -> tuple[list[bytes], str | None]:
    entries: list[bytes] = []
    if len(entries) < size:
        for found in frames_of(store.journal):
            if isinstance(found, Torn):
                return entries, f"the journal is not whole from byte {found.offset:,} on: {found.reason}"
            entries.extend(found.entries)
            if len(entries) >= size:
                del entries[size:]  # staged after the head, acknowledged by nobody
                return entries, None
    return entries, None if len(entries) == size else f"the journal ends after {len(entries)} of {size} entries"


def _from_tiles(store: Store, size: int) -> tuple[list[bytes], str | None]:
    entries: list[bytes] = []
    for tile in bundles_for(size):
        name = stored_name(tile)
        try:
            content = store.read(name)
        except NotStored:
            return entries, f"{name} is not there"
        try:
            entries += decode_bundle(content, width=tile.width)
        except MalformedInput as error:
            return entries, f"{name}: {error}"
    return entries, None


def _blobs(store: Store) -> BlobReader:
    def blob(digest: Digest) -> bytes | None:
        try:
            return store.read(blob_name(digest))
        except NotStored:
            return None

    return blob


def is_written_now(folder: Path) -> bool:
    """Whether an agent of this machine holds the run's lock. Raises `StoreError`.

    The lock is tried only if the process that wrote its id there lives, so that looking never keeps an agent from
    starting; a process of another machine or container is not seen.
    """
    try:
        fd = os.open(folder / "lock", os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        if not _lives(os.read(fd, _MAX_PID_TEXT)):
            return False
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError as error:
        raise StoreError(f"cannot see whether {folder / 'lock'} is held: {error.strerror}") from error
    finally:
        os.close(fd)
    return False


def _lives(text: bytes) -> bool:
    pid = text.strip()
    if not pid.isdigit() or int(pid) == 0:
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True
