"""A number followed over a run: exact counts and extremes, and few enough points to draw.

Points are thinned by doubling the stride, so that a run of any length costs the same memory. Each point is the mean of
the values it stands for; the first and the last value are kept exactly.
"""

from __future__ import annotations

import math
from typing import Final

import msgspec

from saksi.words.frames import Number

__all__ = ["MAX_POINTS", "Series", "SeriesBuilder"]

MAX_POINTS: Final = 256
"""Twice the columns of a wide terminal; thinning halves it, so that at least 128 stay."""

_SCALE: Final = 2.0**-64
"""Sums are kept so much smaller, which is exact, since the sum of two losses of 1e308 is no float."""


class Series(msgspec.Struct, frozen=True, kw_only=True):
    """One quantity of one rank. `points` are (step, mean); `unbounded` counts NaN and infinities."""

    name: str
    rank: int
    count: int
    unbounded: int
    first: float | None
    last: float | None
    low: float | None
    high: float | None
    points: tuple[tuple[int, float], ...]


class SeriesBuilder:
    """Collects a `Series` in bounded memory."""

    __slots__ = ("_count", "_first", "_high", "_last", "_low", "_open", "_points", "_stride", "_unbounded")

    def __init__(self) -> None:
        self._count = 0
        self._unbounded = 0
        self._first: float | None = None
        self._last: float | None = None
        self._low = math.inf
        self._high = -math.inf
        self._stride = 1
        self._points: list[tuple[int, float, int]] = []  # first step, scaled sum, how many values
        self._open: tuple[int, float, int] | None = None

    def add(self, step: int, value: Number) -> None:
        """Takes the value at `step` in."""
        self._count += 1
        if isinstance(value, str) or not math.isfinite(value):
            self._unbounded += 1
            return
        number = float(value)
        if self._first is None:
            self._first = number
        self._last = number
        self._low = min(self._low, number)
        self._high = max(self._high, number)
        start, total, many = self._open or (step, 0.0, 0)
        self._open = (start, total + number * _SCALE, many + 1)
        if many + 1 >= self._stride:
            self._points.append(self._open)
            self._open = None
            if len(self._points) >= MAX_POINTS:
                self._thin()

    def _thin(self) -> None:
        pairs = iter(self._points)
        self._points = [(a[0], a[1] + b[1], a[2] + b[2]) for a, b in zip(pairs, pairs, strict=True)]
        self._stride *= 2

    def build(self, *, name: str, rank: int) -> Series:
        """The series so far."""
        points = [*self._points, self._open] if self._open is not None else self._points
        return Series(
            name=name,
            rank=rank,
            count=self._count,
            unbounded=self._unbounded,
            first=self._first,
            last=self._last,
            low=None if self._first is None else self._low,
            high=None if self._first is None else self._high,
            points=tuple((start, self._mean(total, many)) for start, total, many in points),
        )

    def _mean(self, total: float, many: int) -> float:
        return min(max(total / many / _SCALE, self._low), self._high)
