"""A `Digest` is exact and names its algorithm; anything weaker is a fingerprint and lives elsewhere.

Text form: `sha256:` and 64 lower-case hexadecimal digits. `str(Digest.parse(text)) == text` for every accepted text.
"""

from __future__ import annotations

import hashlib
import re
from typing import Final

import msgspec

from saksi.words.errors import MalformedInput

__all__ = ["DIGEST_PATTERN", "Digest", "sha256", "short_digest"]

DIGEST_PATTERN: Final = r"^sha256:[0-9a-f]{64}$"
_TEXT: Final = re.compile(r"sha256:([0-9a-f]{64})", re.ASCII)


class Digest(msgspec.Struct, frozen=True, order=True):
    """SHA-256 of exact bytes; `value` is 32 bytes."""

    value: bytes

    @property
    def hex(self) -> str:
        """The 64 hexadecimal digits without the algorithm's name."""
        return self.value.hex()

    def __str__(self) -> str:
        return f"sha256:{self.value.hex()}"

    @classmethod
    def parse(cls, text: str) -> Digest:
        """The inverse of `str`. Raises `MalformedInput` for any other form, upper case included."""
        match = _TEXT.fullmatch(text)
        if match is None:
            raise MalformedInput("digest", f"{text[:80]!r} is not 'sha256:' and 64 hexadecimal digits")
        return cls(bytes.fromhex(match[1]))


def sha256(content: bytes | bytearray | memoryview) -> Digest:
    """The SHA-256 digest of `content`."""
    return Digest(hashlib.sha256(content).digest())


def short_digest(digest: str | None) -> str:
    """The start of a digest, enough to compare by eye."""
    if digest is None:
        return "no digest"
    name, _, value = digest.partition(":")
    return f"{name}:{value[:12]}" if value else name[:12]
