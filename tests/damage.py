"""Bytes that are nearly right: a parser reads exactly what stands there or refuses it, a signature refuses it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st


def flipped(content: bytes, bit: int) -> bytes:
    changed = bytearray(content)
    changed[bit // 8] ^= 1 << (bit % 8)
    return bytes(changed)


def one_bit_changes(content: bytes, *, start: int = 0) -> Iterator[bytes]:
    """`content` with each bit flipped in turn, from byte `start` on."""
    return (flipped(content, bit) for bit in range(start * 8, len(content) * 8))


@st.composite
def spliced(draw: st.DrawFn, content: Any, pieces: st.SearchStrategy[Any]) -> Any:
    """`content`, bytes or text, with up to nine of its places, anywhere, replaced by one of `pieces`."""
    at, length = draw(st.integers(0, len(content))), draw(st.integers(0, 9))
    return content[:at] + draw(pieces) + content[at + length :]


def replaced(content: bytes, before: bytes, after: bytes) -> bytes:
    """`content` with the first `before` made `after`; `before` must be there, or the test would prove nothing."""
    assert before in content
    return content.replace(before, after, 1)
