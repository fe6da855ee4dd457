"""The planned learning rate: what it is at a step, and at which steps it is what was seen.

The second is the inverse of the first. It is what tells a run that continues further on in the schedule from one that
leaves it: between two points the curve only rises, only falls or stays, so the steps with one value are one stretch.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final, NamedTuple

from saksi.judgement.plan.values import MAX_STEP, Between, Plan

__all__ = ["ANYWHERE", "Schedule", "Stretch", "overlap"]

RELATIVE: Final = 1e-5
"""Of a value: a rate kept in float32 is off by 1e-7, one that torch works out step by step by 1e-12 a step."""
OF_PEAK: Final = 1e-7
"""Of the curve's highest value, where it comes down to nothing."""
MAX_STRETCHES: Final = 128
"""Kept of one comparison: a curve of `MAX_POINTS` has half as many."""


class Stretch(NamedTuple):
    """Whole numbers from `first` to `last`, both included."""

    first: int
    last: int


ANYWHERE: Final = (Stretch(-MAX_STEP, MAX_STEP),)


class _Piece(NamedTuple):
    first: int
    last: int  # the step before the next piece
    length: int
    start: float
    end: float
    between: Between

    def value(self, step: int) -> float:
        part = (step - self.first) / self.length
        if self.between == "hold" or self.start == self.end:
            return self.start
        if self.between == "cosine":
            return self.end + (self.start - self.end) * (1 + math.cos(math.pi * part)) / 2
        return self.start + (self.end - self.start) * part

    def steps(self, value: float, near: float) -> Stretch | None:
        if self.between == "hold" or self.start == self.end:
            return Stretch(self.first, self.last) if abs(value - self.start) <= near else None
        if not min(self.start, self.end) - near <= value <= max(self.start, self.end) + near:
            return None
        parts = sorted((self._part(value - near), self._part(value + near)))
        found = Stretch(
            max(self.first, math.ceil(self.first + parts[0] * self.length - 1e-6)),
            min(self.last, math.floor(self.first + parts[1] * self.length + 1e-6)),
        )
        return found if found.first <= found.last else None

    def _part(self, value: float) -> float:
        """How far into the piece the value is, from 0 to 1."""
        share = min(1.0, max(0.0, (value - self.start) / (self.end - self.start)))
        return math.acos(1 - 2 * share) / math.pi if self.between == "cosine" else share


class Schedule:
    """The curve of a plan that has one."""

    def __init__(self, plan: Plan) -> None:
        points = list(plan.lr)
        self._pieces: list[_Piece] = []
        if plan.warm_up:
            start, end = plan.warm_up_from, points[0][1]
            self._pieces.append(_Piece(0, plan.warm_up - 1, plan.warm_up, start, end, "linear"))
        for (first, start), (after, end) in pairwise(points):
            self._pieces.append(_Piece(first, after - 1, after - first, start, end, plan.between))
        last, value = points[-1]
        self._pieces.append(_Piece(last, MAX_STEP, 1, value, value, "hold"))
        self._near_zero = OF_PEAK * max(plan.warm_up_from, *(rate for _, rate in points))

    def at(self, step: int) -> float:
        """The planned rate of an Update; before the first step, that of the first."""
        step = max(0, step)
        return next(each for each in self._pieces if step <= each.last or each.last == MAX_STEP).value(step)

    def is_at(self, step: int, value: float) -> bool:
        """Whether `value` is the planned rate of that step."""
        return abs(self.at(step) - value) <= self._near(value)

    def steps_with(self, value: float) -> Iterator[Stretch]:
        """At which steps `value` is the planned rate, in order."""
        near = self._near(value)
        for piece in self._pieces:
            found = piece.steps(value, near)
            if found is not None:
                yield found

    def _near(self, value: float) -> float:
        return RELATIVE * abs(value) + self._near_zero


def overlap(a: Sequence[Stretch], b: Sequence[Stretch]) -> tuple[Stretch, ...]:
    """What two lists of stretches, each in order, have in common."""
    found: list[Stretch] = []
    at = other = 0
    while at < len(a) and other < len(b) and len(found) < MAX_STRETCHES:
        first, last = max(a[at].first, b[other].first), min(a[at].last, b[other].last)
        if first <= last:
            found.append(Stretch(first, last))
        if a[at].last < b[other].last:
            at += 1
        else:
            other += 1
    return tuple(found)
