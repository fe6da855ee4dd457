"""A series as one line of blocks, or of ASCII characters where the terminal has no blocks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

__all__ = ["ASCII_RAMP", "BLOCKS", "column_of", "sparkline"]

BLOCKS: Final = "▁▂▃▄▅▆▇█"
ASCII_RAMP: Final = "_.-:=+*#"


def sparkline(values: Sequence[float], *, width: int, unicode: bool) -> str:
    """`values`, at most `width` characters, from the lowest to the highest step of the ramp; empty without values.

    Neighbours that share a column are averaged. What is not finite is left out. A constant series is drawn low.
    """
    finite = [each for each in values if math.isfinite(each)]
    if not finite or width < 1:
        return ""
    columns = min(width, len(finite))
    means = [_mean(finite[at * len(finite) // columns : (at + 1) * len(finite) // columns]) for at in range(columns)]
    low, high = min(means), max(means)
    ramp = BLOCKS if unicode else ASCII_RAMP
    # Halves: the distance of two finite numbers need not be finite.
    spread = high / 2 - low / 2
    top = len(ramp) - 1
    return "".join(ramp[0 if spread <= 0 else round((each / 2 - low / 2) / spread * top)] for each in means)


def column_of(place: int, count: int, *, width: int) -> int:
    """The column in which the value at `place` of `count` finite ones is drawn."""
    columns = max(1, min(width, count))
    return min(columns - 1, ((place + 1) * columns - 1) // count)


def _mean(values: Sequence[float]) -> float:
    return sum(each / len(values) for each in values)
