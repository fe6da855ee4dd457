"""A private key as text, in the form that Go's `sumdb/note` writes: `PRIVATE+KEY+name+hex8+base64(type || seed)`.

The id is that of the public key, so a key whose parts were mixed up is refused.
"""

from __future__ import annotations

from typing import Final

from saksi.proofs.canonical import decode_base64, encode_base64
from saksi.proofs.tlog.note_key import NoteSigner
from saksi.proofs.tlog.signature_types import ED25519, PUBLIC_KEY_BYTES
from saksi.words.errors import MalformedInput

__all__ = ["MAX_PRIVATE_KEY_CHARS", "format_private_key", "parse_private_key"]

MAX_PRIVATE_KEY_CHARS: Final = 1024
"""A name of 255 bytes, and 80 characters around it."""
_PREFIX: Final = "PRIVATE+KEY+"
_WHAT: Final = "private key"
_PARTS: Final = 3


def format_private_key(name: str, seed: bytes) -> str:
    """The text of the key with this name and these 32 bytes. Raises `MalformedInput`."""
    label = NoteSigner(name, seed).key.label
    return f"{_PREFIX}{label}+{encode_base64(bytes([ED25519]) + seed)}"


def parse_private_key(text: str) -> NoteSigner:
    """The inverse of `format_private_key`, as what can sign. Raises `MalformedInput`, which never shows the key."""
    if len(text) > MAX_PRIVATE_KEY_CHARS or not text.startswith(_PREFIX):
        raise MalformedInput(_WHAT, "not 'PRIVATE+KEY+name+hex8+base64'")
    parts = text.removeprefix(_PREFIX).split("+", _PARTS - 1)
    if len(parts) != _PARTS:
        raise MalformedInput(_WHAT, "not 'PRIVATE+KEY+name+hex8+base64'")
    material = _material(parts[2])
    if len(material) != 1 + PUBLIC_KEY_BYTES[ED25519] or material[0] != ED25519:
        raise MalformedInput(_WHAT, "no Ed25519 key of 32 bytes")
    signer = NoteSigner(parts[0], material[1:])
    if signer.key.label != f"{parts[0]}+{parts[1]}":
        raise MalformedInput(_WHAT, "its key id is not that of its public key")
    return signer


def _material(text: str) -> bytes:
    try:
        return decode_base64(text, what=_WHAT)
    except MalformedInput:
        raise MalformedInput(_WHAT, "not base64") from None
