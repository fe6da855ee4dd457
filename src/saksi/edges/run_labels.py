"""What a run is called, read from the first entry of its log and nothing else: listing many runs stays cheap."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from saksi.edges.home import Label
from saksi.edges.store.local import LocalStore
from saksi.edges.store.names import blob_name
from saksi.judgement.seal import parse_seal
from saksi.proofs.attest.envelope import parse_envelope
from saksi.proofs.journal import Torn, frame_at
from saksi.words.codec import decode_record
from saksi.words.digest import Digest
from saksi.words.errors import SaksiError
from saksi.words.records import SealRecord

__all__ = ["label_of"]

_FIRST_FRAME: Final = 1 << 20
"""The first frame holds a seal's record and a key's: some kilobytes."""


def label_of(folder: Path) -> Label | None:
    """The name and time in the run's seal, not verified; `None` where they cannot be read. Never raises."""
    try:
        store = LocalStore(folder)
        frame = frame_at(store.journal(0, _FIRST_FRAME), 0, 0)
        if isinstance(frame, Torn):
            return None
        record = decode_record(frame.entries[0])
        if not isinstance(record, SealRecord):
            return None
        envelope = parse_envelope(store.read(blob_name(Digest.parse(record.envelope).hex)))
        seal = parse_seal(envelope.payload)
    except SaksiError:
        return None
    return Label(name=seal.name, created_ns=seal.created_ns)
