"""Does a value leap out of those just before it? A robust rule over a window, cheap enough for every Update.

A value has jumped if it lies above the window's median by all of: `DEVIATIONS` robust standard deviations, `BEYOND`
times the distance of the window's highest value, and the share of the median that the series asks for. The second is
what keeps a series with heavy tails quiet, and it is asked first, since almost every value ends there.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from typing import Final

__all__ = ["LEAST", "Window"]

WINDOW: Final = 64
LEAST: Final = 32
"""Values before which nothing is a jump: what training does first is no measure."""
DEVIATIONS: Final = 15.0
"""Each 1.4826 median absolute deviations, which is one standard deviation of a normal distribution."""
NORMAL: Final = 1.4826
BEYOND: Final = 3.0


class Window:
    """The last values of one series. `times`: as many times the median a jump is at least, where that is above 0."""

    __slots__ = ("_order", "_sorted", "_times")

    def __init__(self, times: float) -> None:
        self._times = times
        self._order: deque[float] = deque()
        self._sorted: list[float] = []

    def take(self, value: float) -> float | None:
        """Takes a finite value in; the median before it if it has jumped, else `None`."""
        usual = self._before(value) if len(self._sorted) >= LEAST else None
        if len(self._order) == WINDOW:
            del self._sorted[bisect_left(self._sorted, self._order.popleft())]
        self._order.append(value)
        insort(self._sorted, value)
        return usual

    def _before(self, value: float) -> float | None:
        values = self._sorted
        if value <= values[-1]:
            return None
        median = values[len(values) // 2]
        if value - median <= BEYOND * (values[-1] - median) or (median > 0 and value < self._times * median):
            return None
        apart = sorted(abs(each - median) for each in values)
        spread = apart[len(apart) // 2]
        return median if value - median > DEVIATIONS * NORMAL * spread else None
