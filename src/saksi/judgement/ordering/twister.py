"""The Mersenne Twister as torch's CPU generator runs it: the same 32-bit integers from the same state.

Rules: a state is 624 words and the place of the next one (624: all are used), as an `epoch` frame says it; nothing is
random here. The algorithm is MT19937 of Matsumoto and Nishimura; torch seeds it with the lower 32 bits of a seed.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import struct
from typing import Final

__all__ = ["SEED_BITS", "Twister", "seeded", "twister_of"]

WORDS: Final = 624
SEED_BITS: Final = 0xFFFFFFFF
"""Of a seed that are used."""
_SHIFT: Final = 397
_UPPER: Final = 0x80000000
_LOWER: Final = 0x7FFFFFFF
_MATRIX: Final = 0x9908B0DF
_STATE: Final = struct.Struct(f"<{WORDS + 1}I")


class Twister:
    """A generator in a given state. `draw` moves it."""

    __slots__ = ("_place", "_words")

    def __init__(self, words: list[int], place: int) -> None:
        self._words = words
        self._place = place

    def draw(self, count: int) -> list[int]:
        """The next `count` integers of 32 bits."""
        drawn: list[int] = []
        while count > len(drawn):
            if self._place == WORDS:
                self._words, self._place = _next_words(self._words), 0
            taken = self._words[self._place : self._place + count - len(drawn)]
            self._place += len(taken)
            drawn += _tempered(taken)
        return drawn

    def digest(self) -> str:
        """The first 128 bits of SHA-256 of the state, as an `epoch` frame says it."""
        return hashlib.sha256(_STATE.pack(*self._words, self._place)).hexdigest()[:32]


def twister_of(state: str) -> Twister | None:
    """The generator in the state that an `epoch` frame says, or `None` if that is no state."""
    try:
        *words, place = _STATE.unpack(base64.b64decode(state, validate=True))
    except (binascii.Error, struct.error, ValueError):
        return None
    return Twister(words, place) if place <= WORDS else None


def seeded(seed: int) -> Twister:
    """The generator as `manual_seed(seed)` leaves it."""
    words = [seed & SEED_BITS]
    for place in range(1, WORDS):
        words.append((1812433253 * (words[-1] ^ (words[-1] >> 30)) + place) & SEED_BITS)
    return Twister(words, WORDS)


def _tempered(words: list[int]) -> list[int]:
    drawn = []
    for word in words:
        word ^= word >> 11  # noqa: PLW2901  (one expression of it is slower, and this is most of the work)
        word ^= (word << 7) & 0x9D2C5680  # noqa: PLW2901
        word ^= (word << 15) & 0xEFC60000  # noqa: PLW2901
        drawn.append(word ^ (word >> 18))
    return drawn


def _next_words(old: list[int]) -> list[int]:
    words = list(old)
    for place in range(WORDS):
        mixed = (words[place] & _UPPER) | (words[place + 1 - WORDS] & _LOWER)
        words[place] = words[place + _SHIFT - WORDS] ^ (mixed >> 1) ^ (_MATRIX if mixed & 1 else 0)
    return words
