"""Proof files: one entry's place in a log, checkable offline (C2SP tlog-proof, `.tlog-proof`)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from saksi.proofs.canonical import MAX_UINT63, decimal, decode_base64, encode_base64
from saksi.proofs.tlog.log_checkpoint import LogCheckpoint, open_log_checkpoint
from saksi.proofs.tlog.merkle import HASH_SIZE, leaf_hash, verify_inclusion
from saksi.proofs.tlog.note import MAX_NOTE_BYTES, parse_note
from saksi.proofs.tlog.note_key import VerifierKey
from saksi.words.errors import MalformedInput

__all__ = [
    "MAX_EXTRA_BYTES",
    "MAX_PROOF_HASHES",
    "TlogProof",
    "format_proof_file",
    "parse_proof_file",
    "verify_proof_file",
]

MAX_PROOF_HASHES: Final = 63  # a tree of at most 2**63 - 1 leaves is 63 levels high
MAX_EXTRA_BYTES: Final = 0xFFFF  # as much as an entry: the extra bytes accompany one

_FIRST_LINE: Final = "c2sp.org/tlog-proof@v1"
_WHAT: Final = "proof file"
_MAX_FILE_BYTES: Final = MAX_NOTE_BYTES + 2 * MAX_EXTRA_BYTES + 64 * MAX_PROOF_HASHES + 256


class TlogProof(msgspec.Struct, frozen=True, kw_only=True):
    """Index, audit path and signed log checkpoint. `extra` is opaque and nobody vouches for it."""

    index: int
    proof: tuple[bytes, ...]
    log_checkpoint: bytes
    extra: bytes | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.index <= MAX_UINT63:
            raise MalformedInput(_WHAT, f"index {self.index} is not between 0 and 2**63 - 1")
        if len(self.proof) > MAX_PROOF_HASHES or any(len(each) != HASH_SIZE for each in self.proof):
            raise MalformedInput(_WHAT, f"not at most {MAX_PROOF_HASHES} hashes of {HASH_SIZE} bytes")
        if self.extra is not None and not 1 <= len(self.extra) <= MAX_EXTRA_BYTES:
            raise MalformedInput(_WHAT, f"extra bytes are not between 1 and {MAX_EXTRA_BYTES}")
        parse_note(self.log_checkpoint)


def format_proof_file(proof: TlogProof) -> bytes:
    """The exact bytes of a proof file."""
    lines = [_FIRST_LINE]
    if proof.extra is not None:
        lines.append(f"extra {encode_base64(proof.extra)}")
    lines.append(f"index {proof.index}")
    lines.extend(encode_base64(each) for each in proof.proof)
    return "\n".join([*lines, "", ""]).encode() + proof.log_checkpoint


def parse_proof_file(content: bytes) -> TlogProof:
    """The inverse of `format_proof_file`. Raises `MalformedInput`."""
    if len(content) > _MAX_FILE_BYTES:
        raise MalformedInput(_WHAT, f"{len(content)} bytes are above the limit of {_MAX_FILE_BYTES}")
    head, blank_line, note = content.partition(b"\n\n")
    if not blank_line or not head.isascii():
        raise MalformedInput(_WHAT, "not ASCII lines, a blank line and a log checkpoint")
    first, *lines = head.decode("ascii").split("\n")
    if first != _FIRST_LINE:
        raise MalformedInput(_WHAT, f"its first line is not {_FIRST_LINE}")
    extra = None
    if lines and lines[0].startswith("extra "):
        extra = decode_base64(lines.pop(0).removeprefix("extra "), what="extra line of a proof file")
    if not lines or not lines[0].startswith("index "):
        raise MalformedInput(_WHAT, "no index line")
    if len(lines) > MAX_PROOF_HASHES + 1:
        raise MalformedInput(_WHAT, f"more than {MAX_PROOF_HASHES} hashes")
    return TlogProof(
        index=decimal(lines[0].removeprefix("index "), what="index of a proof file"),
        proof=tuple(decode_base64(line, what="hash of a proof file") for line in lines[1:]),
        log_checkpoint=note,
        extra=extra,
    )


def verify_proof_file(content: bytes, *, entry: bytes, keys: Iterable[VerifierKey]) -> LogCheckpoint:
    """The log checkpoint under which the proof file shows `entry`.

    Raises `MalformedInput`, what `open_log_checkpoint` raises, and `ProofRefused`.
    """
    proof = parse_proof_file(content)
    log_checkpoint = open_log_checkpoint(proof.log_checkpoint, keys)
    verify_inclusion(
        index=proof.index,
        size=log_checkpoint.size,
        leaf=leaf_hash(entry),
        proof=proof.proof,
        root=log_checkpoint.root,
    )
    return log_checkpoint
