"""DSSE v1 envelopes: typed bytes with signatures over exactly those bytes (secure-systems-lab/dsse).

The payload is opaque here. It leaves the envelope only through `verify`, which returns it after at least
one signature by a known key verified. `keyid` is the key's label, `name+hex8`: a hint that is not signed.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from saksi.proofs.canonical import decode_base64, encode_base64, refuse_repeated_members
from saksi.proofs.tlog.note_key import NoteSigner, VerifierKey
from saksi.proofs.tlog.signature_types import ED25519, SignatureRefused, verify_ed25519
from saksi.words.errors import MalformedInput, MissingKey

__all__ = [
    "IN_TOTO",
    "MAX_ENVELOPE_BYTES",
    "MAX_PAYLOAD_BYTES",
    "MAX_SIGNATURES",
    "Envelope",
    "EnvelopeSignature",
    "format_envelope",
    "pae",
    "parse_envelope",
    "sign",
    "verify",
    "verify_signers",
]

IN_TOTO: Final = "application/vnd.in-toto+json"
# A seal that lists the 21,000 files of a torch environment is about 3 MB; five of those fit.
MAX_PAYLOAD_BYTES: Final = 16 * 1024 * 1024
MAX_SIGNATURES: Final = 16  # as in signed notes

_MAX_TYPE_CHARS: Final = 255  # the longest registered media type is far shorter
_MAX_KEYID_CHARS: Final = 1024  # a label is at most 264 bytes; foreign key ids are hashes
_MAX_SIGNATURE_BYTES: Final = 8192  # ML-DSA-87, the largest in sight, has 4,627
MAX_ENVELOPE_BYTES: Final = MAX_PAYLOAD_BYTES // 3 * 4 + 512 * 1024
_WHAT: Final = "envelope"


class EnvelopeSignature(msgspec.Struct, frozen=True):
    """A claimed key and its signature of the envelope's pre-authentication encoding."""

    keyid: str
    sig: bytes


class Envelope(msgspec.Struct, frozen=True, kw_only=True):
    """Typed bytes and signatures. Nothing is verified yet; read the payload through `verify`."""

    payload_type: str
    payload: bytes
    signatures: tuple[EnvelopeSignature, ...]

    def __post_init__(self) -> None:
        _require_payload_type(self.payload_type)
        if len(self.payload) > MAX_PAYLOAD_BYTES:
            raise MalformedInput(_WHAT, f"a payload above the limit of {MAX_PAYLOAD_BYTES} bytes")
        if not 1 <= len(self.signatures) <= MAX_SIGNATURES:
            raise MalformedInput(_WHAT, f"{len(self.signatures)} signatures are not between 1 and {MAX_SIGNATURES}")
        for each in self.signatures:
            if len(each.keyid) > _MAX_KEYID_CHARS or not 1 <= len(each.sig) <= _MAX_SIGNATURE_BYTES:
                raise MalformedInput(_WHAT, "a key id or signature of impossible length")


class _SignatureOnWire(msgspec.Struct, forbid_unknown_fields=True):
    sig: str
    keyid: str = ""


class _EnvelopeOnWire(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    payload: str
    payload_type: str
    signatures: list[_SignatureOnWire]


def _require_payload_type(text: str) -> None:
    if not 1 <= len(text) <= _MAX_TYPE_CHARS or not text.isascii() or not text.isprintable():
        raise MalformedInput(_WHAT, f"payload type {text[:80]!r} is not a media type")


def pae(payload_type: str, payload: bytes) -> bytes:
    """The bytes that are signed: the type and payload with their lengths (DSSE protocol, "PAE").

    Raises `MalformedInput` for a payload type that is not printable ASCII.
    """
    _require_payload_type(payload_type)
    kind = payload_type.encode("ascii")
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def format_envelope(envelope: Envelope) -> bytes:
    """The JSON form, one line without spaces, members in the order of the DSSE document."""
    return msgspec.json.encode(
        _EnvelopeOnWire(
            payload=encode_base64(envelope.payload),
            payload_type=envelope.payload_type,
            signatures=[
                _SignatureOnWire(keyid=each.keyid, sig=encode_base64(each.sig)) for each in envelope.signatures
            ],
        )
    )


def parse_envelope(content: bytes) -> Envelope:
    """The envelope in JSON bytes; the inverse of `format_envelope`.

    Other spacing and order of members are accepted, since the JSON around the payload is not what is
    signed. Raises `MalformedInput` for unknown or repeated members and base64 that is not canonical.
    """
    if len(content) > MAX_ENVELOPE_BYTES:
        raise MalformedInput(_WHAT, f"{len(content)} bytes are above the limit of {MAX_ENVELOPE_BYTES}")
    refuse_repeated_members(content, what=_WHAT)
    try:
        wire = msgspec.json.decode(content, type=_EnvelopeOnWire)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedInput(_WHAT, str(error)) from error
    if len(wire.signatures) > MAX_SIGNATURES:
        raise MalformedInput(_WHAT, f"more than {MAX_SIGNATURES} signatures")
    return Envelope(
        payload_type=wire.payload_type,
        payload=decode_base64(wire.payload, what="payload of an envelope"),
        signatures=tuple(
            EnvelopeSignature(each.keyid, decode_base64(each.sig, what="signature of an envelope"))
            for each in wire.signatures
        ),
    )


def sign(payload_type: str, payload: bytes, signers: Iterable[NoteSigner]) -> Envelope:
    """An envelope around exactly `payload`, signed by each of `signers`. Raises `MalformedInput`."""
    message = pae(payload_type, payload)
    signatures = [EnvelopeSignature(signer.key.label, signer.sign_envelope(message)) for signer in signers]
    return Envelope(payload_type=payload_type, payload=payload, signatures=tuple(signatures))


def verify_signers(envelope: Envelope, keys: Iterable[VerifierKey]) -> tuple[VerifierKey, ...]:
    """Those of `keys` that signed the envelope, at least one; `keys` have passed `enrol`.

    Raises `MissingKey` without any Ed25519 key, and `SignatureRefused` if a signature under the id of a
    known key does not verify or no known key signed.
    """
    known = {key.label: key for key in keys if key.algorithm == ED25519}
    if not known:
        raise MissingKey("no trusted key to judge an envelope with")
    message = pae(envelope.payload_type, envelope.payload)
    verified: dict[VerifierKey, None] = {}
    for each in envelope.signatures:
        key = known.get(each.keyid)
        if key is not None:
            verify_ed25519(public=key.public, message=message, signature=each.sig, name=key.label)
            verified[key] = None
    if not verified:
        raise SignatureRefused("no signature of the envelope is by a trusted key")
    return tuple(verified)


def verify(envelope: Envelope, keys: Iterable[VerifierKey]) -> bytes:
    """The payload, after at least one of `keys` verified. Raises what `verify_signers` raises."""
    verify_signers(envelope, keys)
    return envelope.payload
