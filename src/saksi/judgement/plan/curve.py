"""One group's learning rate without any plan: whether it was multiplied at some Update while its curve went on.

Rules: only the growth from one Update to the next is known, so a jump counts once the growth on both its sides is the
same, for some Updates. A rate that stands still grows nowhere: it was multiplied if it changed a single time and stood
before and after. What turns, restarts, ramps or comes down in steps does neither. What does is a factor on a schedule,
which programs have too: it is told, and no more.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

__all__ = ["Curve", "Scaled"]

BEFORE: Final = 16
"""Updates in a row whose growth changes slowly, before a jump is one."""
AFTER: Final = 16
ALIKE: Final = 0.25
"""Of the growth, by which it may be another at the next Update: a straight line down to nothing bends that much."""
NOISE: Final = 1e-12
"""Of a rate: what float64 leaves of it. One in float32 is too rough, and nothing is told of it."""
LEAST: Final = 1e-4
"""A factor that is nearer to 1 is none."""
OF_GROWTH: Final = 3.0
"""A jump is as many times what the rate would have moved by; one that turns round makes twice that."""


class Scaled(NamedTuple):
    """The rate was multiplied by `factor` as `update` began; it had been `before`, and was `after`."""

    update: int
    before: float
    after: float
    factor: float


class Curve:
    """The rate as it was last seen, how it grew, and a jump that is not confirmed yet."""

    __slots__ = ("_change", "_changes", "_growth", "_jump", "_left", "_smooth", "_stood", "_value")

    def __init__(self) -> None:
        self._value = 0.0
        self._growth = 1.0
        self._smooth = 0  # Updates in a row whose growth changed slowly
        self._jump: Scaled | None = None
        self._left = 0  # Updates that confirm it
        self._changes = 0  # how often it was another than before
        self._change: Scaled | None = None  # the first time
        self._stood = 0  # Updates since the last change

    def take(self, update: int, rate: float) -> Scaled | None:
        """Takes a rate in; a jump, once it is confirmed."""
        before, self._value = self._value, rate
        self._count(update, before, rate)
        if not before > 0 or not rate > 0:
            self._begin(1.0)
            return None
        growth = rate / before
        if not 0 < growth < math.inf:  # the two are further apart than a float can say
            self._begin(1.0)
            return None
        if self._is_alike(growth):
            self._growth = growth
            self._smooth += 1
            return self._confirmed()
        if self._jump is not None or self._smooth < BEFORE or not self._is_jump(growth):
            self._begin(growth)
            return None
        self._jump = Scaled(update, before, rate, growth / self._growth)
        self._left = AFTER
        return None

    @property
    def only_change(self) -> Scaled | None:
        """The one change of a rate that otherwise stood still."""
        return self._change if self._changes == 1 and self._stood >= AFTER else None

    def _count(self, update: int, before: float, rate: float) -> None:
        self._stood += 1
        if before > 0 and rate != before:
            if not self._changes and self._stood > BEFORE and rate > 0:
                self._change = Scaled(update, before, rate, rate / before)
            self._changes += 1
            self._stood = 0

    def _begin(self, growth: float) -> None:
        self._growth, self._smooth, self._jump = growth, 0, None

    def _is_alike(self, growth: float) -> bool:
        return abs(growth - self._growth) <= ALIKE * abs(self._growth - 1) + NOISE

    def _is_jump(self, growth: float) -> bool:
        if self._growth == 1.0:  # it stands still: see `only_change`
            return False
        return abs(growth / self._growth - 1) > max(LEAST, OF_GROWTH * abs(self._growth - 1))

    def _confirmed(self) -> Scaled | None:
        if self._jump is None:
            return None
        self._left -= 1
        if self._left > 0:
            return None
        jump, self._jump = self._jump, None
        return jump
