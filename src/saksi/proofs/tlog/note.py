"""Signed notes: text that one or more keys signed (C2SP signed-note).

The text means nothing until `verify_note` has returned it. Signatures by unknown keys are ignored; a bad
signature by a known key refuses the whole note, since an honest note never carries one.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from saksi.proofs.canonical import decode_base64, encode_base64
from saksi.proofs.tlog.note_key import (
    KEY_ID_BYTES,
    NoteSigner,
    VerifierKey,
    enrol,
    format_verifier_key,
    parse_verifier_key,
    require_key_name,
)
from saksi.proofs.tlog.signature_types import SignatureRefused, verify_typed
from saksi.words.errors import MalformedInput, MissingKey

__all__ = [
    "MAX_NOTE_BYTES",
    "MAX_SIGNATURES",
    "NoteSignature",
    "NoteSigner",
    "SignatureRefused",
    "SignedNote",
    "VerifiedNote",
    "VerifierKey",
    "add_signature",
    "enrol",
    "format_note",
    "format_verifier_key",
    "parse_note",
    "parse_verifier_key",
    "sign_note",
    "signers_of",
    "verify_note",
]

# A note becomes an entry of the head log, and an entry has a two-byte length. Sixteen ML-DSA-44
# signatures, the most that must be accepted, are about 52,000 bytes.
MAX_NOTE_BYTES: Final = 0xFFFF
MAX_SIGNATURES: Final = 16  # C2SP signed-note: verifiers accept at least 16; nobody here needs more

_DASH: Final = "\u2014"


class NoteSignature(msgspec.Struct, frozen=True, kw_only=True):
    """One signature line: who claims to have signed, and the signature in the form of the key's type."""

    name: str
    key_id: bytes
    signature: bytes

    def __post_init__(self) -> None:
        require_key_name(self.name)
        if len(self.key_id) != KEY_ID_BYTES:
            raise MalformedInput("note", f"a key id of {len(self.key_id)} bytes instead of {KEY_ID_BYTES}")
        if not self.signature:
            raise MalformedInput("note", "an empty signature")


class SignedNote(msgspec.Struct, frozen=True):
    """The text, final newline included, and its signature lines in order. Nothing is verified yet."""

    text: str
    signatures: tuple[NoteSignature, ...]

    def __post_init__(self) -> None:
        if not self.text.endswith("\n"):
            raise MalformedInput("note", "its text does not end in a newline")
        if not 1 <= len(self.signatures) <= MAX_SIGNATURES:
            raise MalformedInput("note", f"{len(self.signatures)} signatures are not between 1 and {MAX_SIGNATURES}")
        if any(each < " " and each != "\n" for each in self.text):
            raise MalformedInput("note", "a control character other than newline")
        try:
            length = len(format_note(self))
        except UnicodeEncodeError as error:
            raise MalformedInput("note", "not valid Unicode") from error
        if length > MAX_NOTE_BYTES:
            raise MalformedInput("note", f"{length} bytes are above the limit of {MAX_NOTE_BYTES}")


class VerifiedNote(msgspec.Struct, frozen=True, kw_only=True):
    """A note of which at least one known key signed the text, and which keys those are."""

    note: SignedNote
    keys: tuple[VerifierKey, ...]

    @property
    def text(self) -> str:
        """The signed text."""
        return self.note.text


def format_note(note: SignedNote) -> bytes:
    """The exact bytes of a note."""
    lines = "".join(f"{_DASH} {each.name} {encode_base64(each.key_id + each.signature)}\n" for each in note.signatures)
    return f"{note.text}\n{lines}".encode()


def parse_note(content: bytes) -> SignedNote:
    """The inverse of `format_note`. Raises `MalformedInput`."""
    if len(content) > MAX_NOTE_BYTES:
        raise MalformedInput("note", f"{len(content)} bytes are above the limit of {MAX_NOTE_BYTES}")
    try:
        whole = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise MalformedInput("note", f"not UTF-8: {error}") from error
    text, blank_line, tail = whole.rpartition("\n\n")
    if not blank_line or not tail.endswith("\n"):
        raise MalformedInput("note", "not a text, a blank line and signature lines")
    lines = tail[:-1].split("\n")
    if len(lines) > MAX_SIGNATURES:
        raise MalformedInput("note", f"{len(lines)} signatures are above the limit of {MAX_SIGNATURES}")
    return SignedNote(text + "\n", tuple(_parse_line(line) for line in lines))


def _parse_line(line: str) -> NoteSignature:
    dash, _, rest = line.partition(" ")
    name, space, encoded = rest.partition(" ")
    if dash != _DASH or not space:
        raise MalformedInput("note", f"{line[:80]!r} is not a signature line")
    signed = decode_base64(encoded, what="note signature")
    return NoteSignature(name=name, key_id=signed[:KEY_ID_BYTES], signature=signed[KEY_ID_BYTES:])


def sign_note(text: str, signers: Iterable[NoteSigner]) -> bytes:
    """The bytes of a note over `text`, signed by each of `signers`. Raises `MalformedInput`."""
    signatures = [_line_of(signer.key, signer.sign_text(text)) for signer in signers]
    return format_note(SignedNote(text, tuple(signatures)))


def add_signature(content: bytes, key: VerifierKey, signature: bytes) -> bytes:
    """The note with one signature line more. Raises `MalformedInput`."""
    note = parse_note(content)
    return format_note(SignedNote(note.text, (*note.signatures, _line_of(key, signature))))


def _line_of(key: VerifierKey, signature: bytes) -> NoteSignature:
    return NoteSignature(name=key.name, key_id=key.key_id, signature=signature)


def verify_note(content: bytes, keys: Iterable[VerifierKey]) -> VerifiedNote:
    """The note and those of `keys` that signed it, at least one; `keys` have passed `enrol`.

    Raises `MalformedInput` for bytes that are no note, `MissingKey` without any key, `SignatureRefused`
    if a signature by a known key does not verify or no known key signed, and `UnsupportedVersion` if a
    known key is of a type that cannot be judged.
    """
    known = tuple(keys)
    if not known:
        raise MissingKey("no trusted key to judge a signed note with")
    note = parse_note(content)
    signers = signers_of(note, known)
    if not signers:
        raise SignatureRefused("no signature of the note is by a trusted key")
    return VerifiedNote(note=note, keys=signers)


def signers_of(note: SignedNote, keys: Iterable[VerifierKey]) -> tuple[VerifierKey, ...]:
    """Those of `keys` that signed the note, each once, and none if there are none.

    Raises `SignatureRefused` and `UnsupportedVersion` as `verify_note` does.
    """
    known = {(key.name, key.key_id): key for key in keys}
    verified: dict[VerifierKey, None] = {}
    for line in note.signatures:
        key = known.get((line.name, line.key_id))
        if key is None:
            continue
        verify_typed(
            algorithm=key.algorithm,
            public=key.public,
            text=note.text,
            signature=line.signature,
            name=key.label,
        )
        verified[key] = None
    return tuple(verified)
