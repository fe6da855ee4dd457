"""Cosignatures: a third party states, with a time, that it saw this head and that it is consistent.

C2SP tlog-cosignature, the Ed25519 form (signature type 0x04). The cosigner verifies consistency before it
calls `cosign`; a quorum is counted by who reads the result.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from saksi.proofs.tlog.log_checkpoint import parse_log_checkpoint
from saksi.proofs.tlog.note import add_signature, parse_note, signers_of
from saksi.proofs.tlog.note_key import NoteSigner, VerifierKey
from saksi.proofs.tlog.signature_types import COSIGNATURE, cosignature_message, split_timestamp

__all__ = ["Cosignature", "cosign", "cosignature_message", "verify_cosignatures"]


class Cosignature(msgspec.Struct, frozen=True):
    """A verified cosignature: by whom, and the POSIX time the cosigner claims."""

    key: VerifierKey
    timestamp: int


def cosign(content: bytes, signer: NoteSigner, *, timestamp: int) -> bytes:
    """The signed log checkpoint with the cosignature of `signer` (a type 0x04 key) added.

    Raises `MalformedInput` if `content` is not a log checkpoint in a signed note, if the time is out of
    range or if the signer is of another type.
    """
    text = parse_note(content).text
    parse_log_checkpoint(text)
    return add_signature(content, signer.key, signer.sign_cosignature(text, timestamp=timestamp))


def verify_cosignatures(content: bytes, keys: Iterable[VerifierKey]) -> tuple[Cosignature, ...]:
    """The cosignatures by `keys` that the log checkpoint carries, and none if there are none.

    One key that cosigned twice appears once, with its latest time, so that lines can never stand in for
    cosigners in a quorum; whether those present suffice is the reader's to count. Raises
    `MalformedInput` if `content` is no log checkpoint in a signed note, and `SignatureRefused` if a
    cosignature by one of `keys` does not verify.
    """
    note = parse_note(content)
    parse_log_checkpoint(note.text)
    cosigners = signers_of(note, (key for key in keys if key.algorithm == COSIGNATURE))
    by_id = {(key.name, key.key_id): key for key in cosigners}
    latest: dict[VerifierKey, int] = {}
    for line in note.signatures:
        key = by_id.get((line.name, line.key_id))
        if key is not None:
            timestamp, _ = split_timestamp(line.signature)
            latest[key] = max(timestamp, latest.get(key, 0))
    return tuple(Cosignature(key, timestamp) for key, timestamp in latest.items())
