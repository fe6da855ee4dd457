"""One run's folder, checked and, if asked for, its projections made again.

Rule: nobody may write meanwhile, so the store is locked; a run that is being written is not judged. Without `repair`
nothing that a reader relies on is changed.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from saksi.doors.cli.documents import FsckLine
from saksi.edges.runs import RunMaterials, open_run
from saksi.edges.store.local import LocalStore
from saksi.judgement.items import blob_of
from saksi.judgement.log_layer import check_log as check_signatures
from saksi.processes.agent.soundness import check_log, repair_projections
from saksi.proofs.tlog.note_key import VerifierKey
from saksi.words.codec import decode_record
from saksi.words.errors import LogBusy, MalformedInput, MissingKey, SaksiError, StoreError

__all__ = ["check_folder"]


def check_folder(run: str, folder: Path, trusted: Sequence[VerifierKey], *, repair: bool) -> FsckLine:
    """What is wrong with the folder, and what was made again. What cannot be looked at is a problem, not an error."""
    store = LocalStore(folder)
    repaired: list[str] = []
    try:
        _lock(store, needed=repair)
        keys = _keys_of(open_run(folder), trusted)
        if repair:
            repaired = repair_projections(store, keys)
        problems = [*check_log(store, keys), *_missing_blobs(open_run(folder))]
    except (StoreError, MissingKey) as error:
        return FsckLine(run=run, sound=None, problems=(str(error),), repaired=())
    except SaksiError as error:
        if error.exit_code != 1:
            raise
        return FsckLine(run=run, sound=False, problems=(str(error),), repaired=tuple(repaired))
    finally:
        store.close()
    return FsckLine(run=run, sound=not problems, problems=tuple(problems), repaired=tuple(repaired))


def _lock(store: LocalStore, *, needed: bool) -> None:
    """Keep writers away while we look. Where nothing can be written (a copy, a read-only home) there are none."""
    try:
        store.lock()
    except LogBusy:
        raise
    except StoreError:
        if needed or os.access(store.folder, os.W_OK):
            raise


def _missing_blobs(reading: RunMaterials) -> list[str]:
    """The blobs that records name and that are not there."""
    missing = []
    for index, entry in enumerate(reading.entries):
        digest = blob_of(decode_record(entry, where=f"index {index}"))
        if digest is not None and reading.blob(digest) is None:
            missing.append(f"blob {digest}, named by entry {index}: missing")
    return missing


def _keys_of(reading: RunMaterials, trusted: Sequence[VerifierKey]) -> tuple[VerifierKey, ...]:
    """The keys that may have signed a head of this log."""
    if not trusted:
        raise MissingKey(
            "there is no trusted key to judge the head with", remedy="`saksi keys list` shows those of the home"
        )
    if reading.head is None:
        raise MissingKey(f"run {reading.run} has no head: {reading.short}")
    layer = check_signatures(run=reading.run, entries=reading.entries, head=reading.head, keys=trusted, anchors=())
    if not layer.keys and (reading.short is not None or any(each.outcome == "refused" for each in layer.reasons)):
        raise MalformedInput("the log", reading.short or layer.reasons[0].text)
    if not layer.keys:
        raise MissingKey("; ".join(each.text for each in layer.reasons[:2]))
    return tuple(each.key for each in layer.keys)
