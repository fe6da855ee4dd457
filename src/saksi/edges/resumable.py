"""What the log of a run already holds, for another attempt of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from saksi.edges.runs import RunMaterials, open_run
from saksi.judgement.log_layer import check_log, opened
from saksi.judgement.seal import Seal, parse_seal
from saksi.proofs.tlog.note import VerifierKey
from saksi.words.codec import decode_record
from saksi.words.digest import Digest
from saksi.words.errors import LogBusy, MissingKey, StoreError
from saksi.words.records import SealRecord

__all__ = ["Resumable", "resumable"]


class Resumable(msgspec.Struct, frozen=True, kw_only=True):
    """A closed log that another attempt may continue. `keys` signed its heads; `seal` is the first attempt's."""

    run: str
    attempts: int
    folder: Path
    seal: Seal
    keys: tuple[VerifierKey, ...]


def resumable(folder: Path, trusted: Sequence[VerifierKey]) -> Resumable:
    """The run in `folder`, if its log verifies under `trusted` keys.

    Raises `LogBusy` if an agent writes it now, `MissingKey` if none of our keys signed it, `StoreError` if the log does
    not verify, and what `open_run` raises.
    """
    found = open_run(folder)
    if found.live:
        raise LogBusy(f"run {found.run} is still being written", remedy="wait until it has ended")
    if found.head is None or found.short is not None:
        raise StoreError(f"run {found.run} cannot be continued: {found.short}", remedy="see `saksi fsck`")
    layer = check_log(run=found.run, entries=found.entries, head=found.head, keys=trusted, anchors=())
    if layer.head is None:
        reason = next((each for each in layer.reasons), None)
        said = "its log does not verify" if reason is None else reason.text
        problem = f"run {found.run} cannot be continued: {said}"
        if reason is not None and reason.outcome == "inconclusive":
            raise MissingKey(problem, remedy="continue it where it was begun")
        raise StoreError(problem, remedy="see `saksi verify`")
    return Resumable(
        run=found.run,
        attempts=max(each.attempt for each in layer.keys) + 1,
        folder=folder,
        seal=_seal(found, trusted),
        keys=tuple(each.key for each in layer.keys),
    )


def _seal(found: RunMaterials, trusted: Sequence[VerifierKey]) -> Seal:
    record = decode_record(found.entries[0], where="index 0")
    content = found.blob(Digest.parse(record.envelope)) if isinstance(record, SealRecord) else None
    payload = None if content is None else opened(content, trusted, what="the seal", entry=0)
    if not isinstance(payload, bytes):
        raise StoreError(f"run {found.run} cannot be continued: its seal cannot be read", remedy="see `saksi verify`")
    return parse_seal(payload)
