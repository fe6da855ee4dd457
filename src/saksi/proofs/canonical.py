"""The one accepted spelling of a number, of base64 and of a JSON object.

Two spellings of one value would let two readers of the same signed bytes disagree, so every parser of
this floor accepts the canonical spelling alone. Nothing here knows what the values mean.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from typing import Final

from saksi.words.errors import MalformedInput

__all__ = ["MAX_UINT63", "decimal", "decode_base64", "encode_base64", "refuse_repeated_members"]

# The largest tree size, index and POSIX time: a signed 64-bit integer, as in the other implementations.
MAX_UINT63: Final = 2**63 - 1

_DECIMAL: Final = re.compile(r"0|[1-9][0-9]{0,18}", re.ASCII)


def decimal(text: str, *, what: str, most: int = MAX_UINT63) -> int:
    """The number written as ASCII digits without sign or leading zero, at most `most`.

    Raises `MalformedInput` naming `what` for any other text.
    """
    if _DECIMAL.fullmatch(text) is None:
        raise MalformedInput(what, f"{text[:40]!r} is not a decimal number without leading zeros")
    number = int(text)
    if number > most:
        raise MalformedInput(what, f"{number} is above the limit of {most}")
    return number


def encode_base64(content: bytes) -> str:
    """Standard base64 with padding (RFC 4648, section 4)."""
    return base64.b64encode(content).decode("ascii")


def decode_base64(text: str, *, what: str) -> bytes:
    """The inverse of `encode_base64`.

    Raises `MalformedInput` naming `what` for another alphabet, missing padding or stray trailing bits.
    """
    try:
        content = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise MalformedInput(what, f"not base64: {error}") from error
    if encode_base64(content) != text:  # the decoder ignores trailing bits, which would be a second spelling
        raise MalformedInput(what, "not the canonical base64 of its bytes")
    return content


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")  # the standard library would read NaN and Infinity


def refuse_repeated_members(content: bytes, *, what: str) -> None:
    """Returns if `content` is JSON in which no object names a member twice, at any depth.

    JSON readers disagree on which of two equal names counts, so a signed document must not have any.
    Raises `MalformedInput` naming `what`.
    """

    def judge(members: list[tuple[str, object]]) -> None:
        if len({name for name, _ in members}) != len(members):
            raise MalformedInput(what, "an object names a member twice")

    try:
        # Numbers stay text: their values do not matter here, and huge ones would be slow to convert.
        json.loads(
            content.decode("utf-8"),
            object_pairs_hook=judge,
            parse_int=str,
            parse_float=str,
            parse_constant=_refuse_constant,
        )
    except MalformedInput:
        raise
    except (ValueError, RecursionError) as error:
        raise MalformedInput(what, f"not JSON: {error}") from error
