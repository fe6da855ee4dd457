"""Does one tensor follow another as an average does: by the same share of the way in all of its elements.

Every average that is worked out in place makes `before + pace * (parameter - before)` of what it held: exponential ones
with a fixed pace, that of n states with 1/n, a copy with 1, and several in a row with another pace. So the elements of
one tensor have one pace in common, to rounding; whoever writes to them otherwise leaves none.

Rule: each element allows an interval of paces; the tensor follows if these have one in common.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

from saksi.judgement.updates.precision import PRECISIONS, Precision

__all__ = ["MANY", "Pace", "Step", "pace_of", "unit_of"]

ROUNDINGS: Final = 16
"""Units in the last place of the largest number taken part: the kernels known make five at most, and a program may
average several times between two updates."""
MANY: Final = 1024
"""The same, of a program that averages after each of many small batches between two updates: over short ways rounding
goes the same way each time, and adds up."""
BEYOND: Final = 1e150
"""Differences and quotients of what is smaller than this are numbers themselves."""
SHORT: Final = 2.0**-20
"""Of what rounding allows: over so short a way each pace comes to the same."""
HALVES: Final = {
    "torch.bfloat16": Precision(8, -126, math.inf, 0.0),
    "torch.float16": Precision(11, -14, math.inf, 0.0),
}
_EVERY: Final = PRECISIONS | HALVES


class Pace(NamedTuple):
    """The shares of the way that all elements allow, from `low` to `high`."""

    low: float
    high: float


class Step(NamedTuple):
    """What became of some elements: whether any `moved`, and at which pace; `None` if they have none in common.

    `partly`: those that moved have this one, which leads towards the parameter and no further, and others stood still.
    `told` elements moved beyond rounding.
    """

    moved: bool
    pace: Pace | None
    partly: bool
    told: int


def unit_of(average: str, parameter: str) -> tuple[float, float] | None:
    """Half the spacing at 1 of the coarser of two formats, and the smallest normal number; `None` of unknown ones."""
    kinds = [_EVERY.get(average), _EVERY.get(parameter)]
    known = [each for each in kinds if each is not None]
    if len(known) < len(kinds):
        return None
    return max(each.epsilon for each in known) / 2, max(each.smallest for each in known)


def pace_of(
    before: tuple[float, ...],
    after: tuple[float, ...],
    parameter: tuple[float, ...],
    unit: tuple[float, float],
    *,
    roundings: int = ROUNDINGS,
) -> Step | None:
    """How elements went from `before` to `after`, beside those of the parameter; `None` if one is no number."""
    if not all(abs(each) < BEYOND for each in (*before, *after, *parameter)):  # nor is what is no number
        return None
    unit = roundings * unit[0], roundings * unit[1]
    ways = [_way(*each, unit) for each in zip(before, after, parameter, strict=True)]
    movers = [each for each in ways if each.moved]
    pace = _common(ways)
    partly = pace is None and len(movers) < len(ways)
    if partly:
        pace = _common(movers)
        pace = pace if pace is not None and pace.high > 0 and pace.low <= 1 else None
    return Step(moved=bool(movers), pace=pace, partly=partly and pace is not None, told=len(movers))


class _Way(NamedTuple):
    moved: bool
    pace: Pace | None


def _way(before: float, after: float, parameter: float, allowed: tuple[float, float]) -> _Way:
    """Of one element whether it moved, and the paces that it allows. `allowed`: of its size, and at least."""
    move, way = after - before, parameter - before
    slack = allowed[0] * max(abs(before), abs(after), abs(parameter)) + allowed[1]
    moved = abs(move) > slack
    if abs(way) <= SHORT * slack:  # any pace is within rounding, or none is
        return _Way(moved, None if moved else Pace(-math.inf, math.inf))
    ends = (move - slack) / way, (move + slack) / way
    return _Way(moved, Pace(min(ends), max(ends)))


def _common(ways: list[_Way]) -> Pace | None:
    low, high = -math.inf, math.inf
    for each in ways:
        if each.pace is None:
            return None
        low, high = max(low, each.pace.low), min(high, each.pace.high)
    return Pace(low, high) if low <= high else None
