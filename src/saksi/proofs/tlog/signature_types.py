"""What each signature type of a signed note is, and what exactly it signs.

| type | C2SP document | key | signature | signed message |
| 0x01 | signed-note, "Ed25519 signatures" | 32 bytes | 64 bytes | the note text |
| 0x04 | tlog-cosignature, "Ed25519 signed message" | 32 | 8-byte time, then 64 | `cosignature_message` |
| 0x06 | tlog-cosignature, "ML-DSA-44 signed message" | 1,312 | 8-byte time, then 2,420 | not verified here |

Type 0x06 is parsed and kept, so that a note which carries one can be read and its other signatures judged.
"""

from __future__ import annotations

from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from saksi.proofs.canonical import MAX_UINT63
from saksi.words.errors import MalformedInput, SaksiError, UnsupportedVersion

__all__ = [
    "COSIGNATURE",
    "ED25519",
    "ML_DSA_44",
    "PUBLIC_KEY_BYTES",
    "SIGNATURE_BYTES",
    "TIMESTAMP_BYTES",
    "SignatureRefused",
    "cosignature_message",
    "split_timestamp",
    "verify_ed25519",
    "verify_typed",
]

ED25519: Final = 0x01
COSIGNATURE: Final = 0x04
ML_DSA_44: Final = 0x06

TIMESTAMP_BYTES: Final = 8
PUBLIC_KEY_BYTES: Final = {ED25519: 32, COSIGNATURE: 32, ML_DSA_44: 1312}
SIGNATURE_BYTES: Final = {ED25519: 64, COSIGNATURE: TIMESTAMP_BYTES + 64, ML_DSA_44: TIMESTAMP_BYTES + 2420}


class SignatureRefused(SaksiError):
    """A signature does not verify, or nothing is signed by a trusted key."""

    exit_code = 1


def cosignature_message(timestamp: int, text: str) -> bytes:
    """The bytes a cosigner signs at POSIX time `timestamp` (C2SP tlog-cosignature).

    Raises `MalformedInput` for a time outside 0 to 2**63 - 1.
    """
    if not 0 <= timestamp <= MAX_UINT63:
        raise MalformedInput("cosignature", f"time {timestamp} is not between 0 and 2**63 - 1")
    return f"cosignature/v1\ntime {timestamp}\n{text}".encode()


def split_timestamp(signature: bytes) -> tuple[int, bytes]:
    """The time and the bare signature of a timestamped signature. Raises `MalformedInput` if cut short."""
    if len(signature) <= TIMESTAMP_BYTES:
        raise MalformedInput("cosignature", "shorter than its time")
    return int.from_bytes(signature[:TIMESTAMP_BYTES], "big"), signature[TIMESTAMP_BYTES:]


def verify_ed25519(*, public: bytes, message: bytes, signature: bytes, name: str) -> None:
    """Returns if the Ed25519 signature verifies (RFC 8032). Raises `SignatureRefused` naming the key."""
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError) as error:
        raise SignatureRefused(f"the signature by {name} does not verify") from error


def verify_typed(*, algorithm: int, public: bytes, text: str, signature: bytes, name: str) -> None:
    """Returns if `signature` of type `algorithm` verifies for the note text.

    Raises `SignatureRefused` if it does not, `UnsupportedVersion` for a type this build cannot judge.
    """
    if algorithm == ED25519:
        message = text.encode()
    elif algorithm == COSIGNATURE:
        try:
            timestamp, signature = split_timestamp(signature)
            message = cosignature_message(timestamp, text)
        except MalformedInput as error:
            raise SignatureRefused(f"the cosignature by {name} does not verify: {error.reason}") from error
    else:
        raise UnsupportedVersion(
            f"signatures of type 0x{algorithm:02x} are not verified by this build, so {name} cannot be judged",
            remedy="leave that key out, or give an Ed25519 key of the same signer",
        )
    verify_ed25519(public=public, message=message, signature=signature, name=name)
