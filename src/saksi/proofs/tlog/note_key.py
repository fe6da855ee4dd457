"""The keys of signed notes: verifier keys, their enrolment, and signers (C2SP signed-note, "Verifier keys").

A key is known by name and key id together. The id is the first four bytes of
SHA-256(name || 0x0A || type || public key): a hint for finding the key, never a proof of it.
"""

from __future__ import annotations

import hashlib
import re
from typing import Final

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from saksi.proofs.canonical import decode_base64, encode_base64
from saksi.proofs.tlog.signature_types import COSIGNATURE, ED25519, ML_DSA_44, PUBLIC_KEY_BYTES, cosignature_message
from saksi.words.errors import MalformedInput

__all__ = [
    "KEY_ID_BYTES",
    "MAX_NAME_BYTES",
    "NoteSigner",
    "VerifierKey",
    "enrol",
    "format_verifier_key",
    "parse_verifier_key",
    "require_key_name",
    "require_sound_ed25519",
]

KEY_ID_BYTES: Final = 4
MAX_NAME_BYTES: Final = 255  # ML-DSA-44 cosignatures hold the name behind one length byte
_MAX_VKEY_CHARS: Final = 4096  # an ML-DSA-44 key is 1,752 characters of base64; the rest is name
_HEX8: Final = re.compile(r"[0-9a-f]{8}", re.ASCII)
_FIRST_PRINTABLE: Final = " "

# The prefixes of the other messages that the same kind of key signs: no note text may pass for one.
_OTHER_MESSAGES: Final = ("DSSEv1 ", "cosignature/v1\n")

_P: Final = 2**255 - 19
_D: Final = -121665 * pow(121666, -1, _P) % _P
_SIGN_BIT: Final = 1 << 255
_Y_OF_ORDER_8: Final = int.from_bytes(
    bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"), "little"
)
# The eight points of order 1, 2, 4 and 8 have only these y coordinates.
_LOW_ORDER_Y: Final = frozenset({0, 1, _P - 1, _Y_OF_ORDER_8, _P - _Y_OF_ORDER_8})


def require_key_name(name: str) -> None:
    """Returns if `name` can name a key: not empty, no spaces, plus or control characters, at most 255 bytes.

    Raises `MalformedInput`.
    """
    if not name or any(each.isspace() or each == "+" or each < _FIRST_PRINTABLE for each in name):
        raise MalformedInput("key name", f"{name[:80]!r} is empty or has a space, plus or control character")
    try:
        length = len(name.encode())
    except UnicodeEncodeError as error:
        raise MalformedInput("key name", "not valid Unicode") from error
    if length > MAX_NAME_BYTES:
        raise MalformedInput("key name", f"{length} bytes are above the limit of {MAX_NAME_BYTES}")


def _key_id(name: str, algorithm: int, public: bytes) -> bytes:
    return hashlib.sha256(name.encode() + b"\n" + bytes([algorithm]) + public).digest()[:KEY_ID_BYTES]


class VerifierKey(msgspec.Struct, frozen=True, kw_only=True):
    """A public key with its name, its four-byte id and its signature type. Raises `MalformedInput` if unsound."""

    name: str
    key_id: bytes
    algorithm: int
    public: bytes

    def __post_init__(self) -> None:
        require_key_name(self.name)
        expected = PUBLIC_KEY_BYTES.get(self.algorithm)
        if expected is None:
            raise MalformedInput("verifier key", f"signature type {self.algorithm:#04x} is not known here")
        if len(self.public) != expected:
            raise MalformedInput("verifier key", f"{len(self.public)} bytes of key instead of {expected}")
        if self.key_id != _key_id(self.name, self.algorithm, self.public):
            raise MalformedInput("verifier key", "its key id is not the hash of its name, type and key")

    @classmethod
    def of(cls, name: str, algorithm: int, public: bytes) -> VerifierKey:
        """The key with the id that follows from its parts."""
        require_key_name(name)
        if algorithm not in PUBLIC_KEY_BYTES:
            raise MalformedInput("verifier key", f"signature type {algorithm:#04x} is not known here")
        key_id = _key_id(name, algorithm, public)
        return cls(name=name, key_id=key_id, algorithm=algorithm, public=public)

    @property
    def label(self) -> str:
        """`name+hex8`: how people and DSSE envelopes refer to the key."""
        return f"{self.name}+{self.key_id.hex()}"

    def __str__(self) -> str:
        return format_verifier_key(self)


def format_verifier_key(key: VerifierKey) -> str:
    """The vkey text: `name+hex8+base64(type || key)`."""
    return f"{key.label}+{encode_base64(bytes([key.algorithm]) + key.public)}"


def parse_verifier_key(text: str) -> VerifierKey:
    """The inverse of `format_verifier_key`. Says nothing on whether the key is sound: see `enrol`.

    Raises `MalformedInput`.
    """
    if len(text) > _MAX_VKEY_CHARS:
        raise MalformedInput("verifier key", f"longer than {_MAX_VKEY_CHARS} characters")
    name, _, rest = text.partition("+")
    hex8, _, encoded = rest.partition("+")
    if _HEX8.fullmatch(hex8) is None:
        raise MalformedInput("verifier key", "not 'name+hex8+base64'")
    material = decode_base64(encoded, what="verifier key")
    if not material:
        raise MalformedInput("verifier key", "no key material")
    return VerifierKey(name=name, key_id=bytes.fromhex(hex8), algorithm=material[0], public=material[1:])


def enrol(text: str) -> VerifierKey:
    """The key of a vkey text, fit to be trusted: every key that a judgement rests on enters here.

    Raises `MalformedInput` for what `parse_verifier_key` refuses and for an Ed25519 key that is not
    canonical, not on the curve or of small order: implementations of Ed25519 disagree about those,
    and some accept one signature for every message under them (C2SP CCTV, ed25519).
    """
    key = parse_verifier_key(text)
    if key.algorithm in {ED25519, COSIGNATURE}:
        require_sound_ed25519(key.public)
    return key


def require_sound_ed25519(public: bytes) -> None:
    """Returns if the 32 bytes are the canonical encoding of a point that is not of small order.

    Raises `MalformedInput` (RFC 8032, section 5.1.3, without the leniency of its step 1).
    """
    what = "Ed25519 key"
    if len(public) != PUBLIC_KEY_BYTES[ED25519]:
        raise MalformedInput(what, f"{len(public)} bytes instead of {PUBLIC_KEY_BYTES[ED25519]}")
    encoded = int.from_bytes(public, "little")
    y, negative = encoded & (_SIGN_BIT - 1), bool(encoded & _SIGN_BIT)
    if y >= _P:
        raise MalformedInput(what, "not canonical: its y coordinate is not below 2**255 - 19")
    if negative and y in {1, _P - 1}:
        raise MalformedInput(what, "not canonical: it asks for the negative of x = 0")
    if y in _LOW_ORDER_Y:
        raise MalformedInput(what, "of small order")
    x_squared = (y * y - 1) * pow(_D * y * y + 1, -1, _P) % _P
    if pow(x_squared, (_P - 1) // 2, _P) != 1:  # Euler: no x exists for this y
        raise MalformedInput(what, "not a point of the curve")


class NoteSigner:
    """A name and an Ed25519 private key that sign notes (type 0x01) or, asked so, cosign them (type 0x04).

    One private key serves one signature type. The private key never appears in `repr`.
    """

    __slots__ = ("_private", "key")

    def __init__(self, name: str, private: Ed25519PrivateKey | bytes, *, algorithm: int = ED25519) -> None:
        if algorithm == ML_DSA_44:
            raise MalformedInput("signer", "ML-DSA-44 signing is not part of this build")
        if isinstance(private, bytes):
            if len(private) != PUBLIC_KEY_BYTES[ED25519]:
                raise MalformedInput("signer", "an Ed25519 seed is 32 bytes long")
            private = Ed25519PrivateKey.from_private_bytes(private)
        self._private = private
        self.key = VerifierKey.of(name, algorithm, private.public_key().public_bytes_raw())

    def __repr__(self) -> str:
        return f"NoteSigner({self.key.label!r})"

    @property
    def name(self) -> str:
        """The key's name."""
        return self.key.name

    @property
    def vkey(self) -> str:
        """The vkey text of the public half."""
        return format_verifier_key(self.key)

    def sign_text(self, text: str) -> bytes:
        """The type 0x01 signature of a note text. Raises `MalformedInput` if it could pass for another message."""
        self._require(ED25519)
        if text.startswith(_OTHER_MESSAGES):
            raise MalformedInput("note", "its text begins like another signed message")
        return self._private.sign(text.encode())

    def sign_cosignature(self, text: str, *, timestamp: int) -> bytes:
        """The type 0x04 signature of a log checkpoint's text at POSIX time `timestamp`: time, then signature."""
        self._require(COSIGNATURE)
        message = cosignature_message(timestamp, text)
        return timestamp.to_bytes(8, "big") + self._private.sign(message)

    def sign_envelope(self, pae: bytes) -> bytes:
        """The Ed25519 signature of a DSSE pre-authentication encoding. Raises `MalformedInput` for other bytes."""
        self._require(ED25519)
        if not pae.startswith(b"DSSEv1 "):
            raise MalformedInput("envelope", "not a DSSE pre-authentication encoding")
        return self._private.sign(pae)

    def _require(self, algorithm: int) -> None:
        if self.key.algorithm != algorithm:
            raise MalformedInput(
                "signer", f"{self.key.label} is of type {self.key.algorithm:#04x}, not {algorithm:#04x}"
            )
