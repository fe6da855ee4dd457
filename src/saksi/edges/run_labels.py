"""What a run is called, read from the first entry of its log and nothing else: listing many runs stays cheap."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from saksi.edges.home import Label
from saksi.edges.store.local import LocalStore
from saksi.judgement.items import BlobReader
from saksi.judgement.seal import Seal, parse_seal
from saksi.proofs.attest.envelope import parse_envelope
from saksi.proofs.journal import Torn, frame_at
from saksi.words.blobs import blob_name
from saksi.words.codec import decode_record
from saksi.words.digest import Digest, sha256
from saksi.words.errors import NotStored, SaksiError
from saksi.words.records import SealRecord

__all__ = ["first_seal_of", "label_of", "seal_in"]

_FIRST_FRAME: Final = 1 << 20
"""The first frame holds a seal's record and a key's: some kilobytes."""


def label_of(folder: Path) -> Label | None:
    """The name and time in the run's seal, not verified; `None` where they cannot be read. Never raises."""
    seal = first_seal_of(folder)
    return None if seal is None else Label(name=seal.name, created_ns=seal.created_ns)


def first_seal_of(folder: Path) -> Seal | None:
    """The seal of the run's first attempt, not verified; `None` where it cannot be read. Never raises."""
    try:
        store = LocalStore(folder)
        frame = frame_at(store.journal(0, _FIRST_FRAME), 0, 0)
        return None if isinstance(frame, Torn) else seal_in(frame.entries[0], lambda digest: _blob(store, digest))
    except SaksiError:
        return None


def seal_in(entry: bytes, blob: BlobReader) -> Seal | None:
    """The seal that the first entry of a log commits to, its signature not judged; `None` where it cannot be read."""
    try:
        record = decode_record(entry)
        content = blob(Digest.parse(record.envelope)) if isinstance(record, SealRecord) else None
        if content is None or not isinstance(record, SealRecord) or str(sha256(content)) != record.envelope:
            return None
        return parse_seal(parse_envelope(content).payload)
    except SaksiError:
        return None


def _blob(store: LocalStore, digest: Digest) -> bytes | None:
    try:
        return store.read(blob_name(digest))
    except NotStored:
        return None
