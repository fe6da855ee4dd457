"""Log checkpoints: a log's name, size and root in a signed note (C2SP tlog-checkpoint).

Ours never have extension lines: nobody audits those. Lines that another log signed are kept, so that its
text stays the text that was signed.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from saksi.proofs.canonical import MAX_UINT63, decimal, decode_base64, encode_base64
from saksi.proofs.tlog.merkle import EMPTY_ROOT, HASH_SIZE
from saksi.proofs.tlog.note import VerifiedNote, sign_note, verify_note
from saksi.proofs.tlog.note_key import NoteSigner, VerifierKey
from saksi.proofs.tlog.signature_types import ED25519, SignatureRefused
from saksi.words.errors import MalformedInput

__all__ = [
    "LogCheckpoint",
    "format_log_checkpoint",
    "log_checkpoint_of",
    "open_log_checkpoint",
    "parse_log_checkpoint",
    "sign_log_checkpoint",
]

_LINES: Final = 3


class LogCheckpoint(msgspec.Struct, frozen=True, kw_only=True):
    """The head of one log: `origin` names the log, `root` is the tree head over its first `size` entries."""

    origin: str
    size: int
    root: bytes
    extensions: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for line in (self.origin, *self.extensions):
            if not line or any(each < " " for each in line):
                raise MalformedInput("log checkpoint", "an empty line or a control character")
        if not 0 <= self.size <= MAX_UINT63:
            raise MalformedInput("log checkpoint", f"size {self.size} is not between 0 and 2**63 - 1")
        if len(self.root) != HASH_SIZE:
            raise MalformedInput("log checkpoint", f"a root of {len(self.root)} bytes instead of {HASH_SIZE}")
        if self.size == 0 and self.root != EMPTY_ROOT:
            raise MalformedInput("log checkpoint", "size 0 with a root that is not the empty tree's")


def format_log_checkpoint(log_checkpoint: LogCheckpoint) -> str:
    """The note text: origin, size, root and any extension lines, each ended by a newline."""
    lines = (
        log_checkpoint.origin,
        str(log_checkpoint.size),
        encode_base64(log_checkpoint.root),
        *log_checkpoint.extensions,
    )
    return "".join(f"{line}\n" for line in lines)


def parse_log_checkpoint(text: str) -> LogCheckpoint:
    """The inverse of `format_log_checkpoint`. Raises `MalformedInput`."""
    if not text.endswith("\n"):
        raise MalformedInput("log checkpoint", "does not end in a newline")
    lines = text[:-1].split("\n")
    if len(lines) < _LINES:
        raise MalformedInput("log checkpoint", f"{len(lines)} lines instead of origin, size and root")
    origin, size, root, *extensions = lines
    return LogCheckpoint(
        origin=origin,
        size=decimal(size, what="log checkpoint size"),
        root=decode_base64(root, what="log checkpoint root"),
        extensions=tuple(extensions),
    )


def sign_log_checkpoint(log_checkpoint: LogCheckpoint, signer: NoteSigner) -> bytes:
    """The bytes of a signed log checkpoint.

    Whether the log may sign this head at all is the sequencer's to know. Raises `MalformedInput` for
    extension lines and for a signer that is not named after the origin.
    """
    if log_checkpoint.extensions:
        raise MalformedInput("log checkpoint", "extension lines are never signed here")
    if signer.name != log_checkpoint.origin:
        raise MalformedInput(
            "log checkpoint", f"the signer {signer.name} is not named after the log {log_checkpoint.origin}"
        )
    return sign_note(format_log_checkpoint(log_checkpoint), [signer])


def open_log_checkpoint(content: bytes, keys: Iterable[VerifierKey]) -> LogCheckpoint:
    """The log checkpoint in a note that a key named after its origin signed.

    Raises what `verify_note` raises, `SignatureRefused` if only cosigners or keys of other logs signed,
    and `MalformedInput` if the text is no log checkpoint.
    """
    return log_checkpoint_of(verify_note(content, keys))


def log_checkpoint_of(verified: VerifiedNote) -> LogCheckpoint:
    """As `open_log_checkpoint`, for a note that is verified already."""
    log_checkpoint = parse_log_checkpoint(verified.text)
    # A trusted key of one log must not vouch for another, and a cosigner vouches for no log alone.
    if not any(key.algorithm == ED25519 and key.name == log_checkpoint.origin for key in verified.keys):
        raise SignatureRefused(f"no trusted key of the log {log_checkpoint.origin} signed its checkpoint")
    return log_checkpoint
