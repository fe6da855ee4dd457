"""Is a gradient that ranks agreed on the mean of those that each of them had finished.

Sums of floats depend on their order, so each element has a bound of its own: as many roundings as there are ranks, of
what the ranks' parts are together (Higham, *Accuracy and Stability of Numerical Algorithms*, 4.2), and a few for
dividing, scaling and copying. Clipping and unscaling behind it multiply all of it by one positive number.

Rules: where a number is not finite nothing is said; what is not the mean is said to be a weighed one only if the
weights explain every element.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, Literal

import msgspec

__all__ = ["COARSE", "MAX_FITTED", "Elements", "Mean", "Reached", "mean_of", "reached", "weights_of"]

COARSE: Final = 2.0**-7
"""The spacing of numbers at 1 in the coarsest type that gradients are exchanged in."""
MORE: Final = 8
"""Roundings beside those of the sum: dividing before or behind it, a bucket of another type, two factors."""
MAX_FITTED: Final = 32
"""Ranks whose weights are worked out: the work grows with their square."""
FITTED: Final = 64.0
"""Times the bound that may be left by weights that were themselves worked out from rounded numbers."""
MOST: Final = 0.01
"""Of an element that may be left so: in half precision, weights would explain anything."""
LEAST: Final = 2
"""Elements for each weight that has to be told."""

Kind = Literal["mean", "clamped", "uneven", "other"]


class Elements(msgspec.Struct, frozen=True):
    """Sampled elements of all tensors: one rank's own gradient, and the spacing and the smallest of their types."""

    values: Sequence[float]
    spacings: Sequence[float]
    tiny: Sequence[float]


class Mean(msgspec.Struct, frozen=True):
    """The mean of several ranks' own gradients, and how far sums in other orders may lie from it, at each element."""

    values: Sequence[float]
    bounds: Sequence[float]
    tiny: Sequence[float]

    def allows(self, at: int, times: float, about: float, read: float) -> bool:
        """Whether an element that was read may be `times`, known up to `about`, the mean."""
        bound = times * self.bounds[at] + (1.0 + times) * self.tiny[at] + about * abs(self.values[at])
        return abs(read - times * self.values[at]) <= bound


class Reached(msgspec.Struct, frozen=True, kw_only=True):
    """What a gradient is to the mean; `factor`: one number that all of it was multiplied by."""

    kind: Kind
    factor: float | None = None
    of: int = 0
    bad: int = 0


def mean_of(ranks: Sequence[Elements], *, coarse: bool = False) -> Mean | None:
    """The mean, or `None` where a number is not finite, or all are zero. `coarse`: exchanged in a coarser type."""
    count = len(ranks)
    if not all(math.isfinite(value) for rank in ranks for value in rank.values):
        return None
    sums = [math.fsum(each) for each in zip(*(rank.values for rank in ranks), strict=True)]
    sizes = [math.fsum(map(abs, each)) for each in zip(*(rank.values for rank in ranks), strict=True)]
    if not any(sums):
        return None
    bounds = [
        (count + MORE) * max(spacing, COARSE if coarse else 0.0) * size / count
        for spacing, size in zip(ranks[0].spacings, sizes, strict=True)
    ]
    return Mean([each / count for each in sums], bounds, ranks[0].tiny)


def reached(read: Sequence[float], mean: Mean) -> Reached | None:
    """What `read` is to the mean; `None` where a number of it is not finite."""
    if not all(map(math.isfinite, read)):
        return None
    factor = _factor(read, mean, range(len(read)))
    bad = _outside(read, mean, factor, range(len(read)))
    if factor is not None and not bad:
        return Reached(kind="mean", factor=factor[0], of=len(read))
    if _is_clamped(read, mean):
        return Reached(kind="clamped", of=len(read))
    turned = any(r * m < 0 and abs(m) > bound for r, m, bound in zip(read, mean.values, mean.bounds, strict=True))
    return Reached(kind="other" if turned else "uneven", of=len(read), bad=len(bad))


def weights_of(read: Sequence[float], ranks: Sequence[Elements]) -> list[float] | None:
    """What each rank's own gradient was multiplied by, if such numbers explain every element; 1 / ranks is the mean."""
    count = len(ranks)
    share = FITTED * (count + MORE)
    if not 1 < count <= MAX_FITTED or len(read) < LEAST * count or share * max(ranks[0].spacings) > MOST:
        return None
    own = [rank.values for rank in ranks]
    table = [[math.fsum(a * b for a, b in zip(one, other, strict=True)) for other in own] for one in own]
    found = _solved(table, [math.fsum(a * r for a, r in zip(one, read, strict=True)) for one in own])
    if found is None or not all(map(math.isfinite, found)):
        return None
    for at, value in enumerate(read):
        parts = [weight * one[at] for weight, one in zip(found, own, strict=True)]
        size = math.fsum(map(abs, parts)) + abs(value)
        bound = share * ranks[0].spacings[at] * size + ranks[0].tiny[at]
        if abs(math.fsum(parts) - value) > bound:
            return None
    return found


def _factor(read: Sequence[float], mean: Mean, places: Sequence[int]) -> tuple[float, float] | None:
    """What the element that is known best was multiplied by, and how exactly that is known; `None`: by no such."""
    known = {at: mean.bounds[at] + 2 * mean.tiny[at] for at in places}  # what is below the smallest normal is coarse
    best = max(places, key=lambda at: abs(mean.values[at]) / known[at] if known[at] else 0.0, default=None)
    if best is None or not mean.values[best]:
        return None
    factor = read[best] / mean.values[best]
    if not 0 < factor < math.inf:
        return None
    return factor, factor * known[best] / abs(mean.values[best])


def _outside(read: Sequence[float], mean: Mean, factor: tuple[float, float] | None, places: Sequence[int]) -> list[int]:
    """The elements that are not the mean times the factor."""
    if factor is None:
        return list(places)
    return [at for at in places if not mean.allows(at, *factor, read[at])]


def _is_clamped(read: Sequence[float], mean: Mean) -> bool:
    """Whether what lies within one bound is the mean times a number, and what would lie beyond it is at it."""
    limit = max(map(abs, read))
    inside = [at for at, value in enumerate(read) if abs(value) < limit]
    factor = _factor(read, mean, inside) if any(mean.values[at] for at in inside) else (1.0, 0.0)
    if not limit or factor is None or _outside(read, mean, factor, inside):
        return False
    return all(
        value * mean.values[at] > 0 and factor[0] * (abs(mean.values[at]) + mean.bounds[at]) >= limit * (1 - COARSE)
        for at, value in enumerate(read)
        if abs(value) == limit
    )


def _solved(table: list[list[float]], wanted: list[float]) -> list[float] | None:
    """Gauss's elimination, with the largest pivot; `None` where ranks had gradients that cannot be told apart."""
    rows = [[*row, value] for row, value in zip(table, wanted, strict=True)]
    largest = max((abs(each) for row in table for each in row), default=0.0)
    for at in range(len(rows)):
        pivot = max(range(at, len(rows)), key=lambda row: abs(rows[row][at]))
        if abs(rows[pivot][at]) <= largest * 1e-6:
            return None
        rows[at], rows[pivot] = rows[pivot], rows[at]
        for row in rows[at + 1 :]:
            share = row[at] / rows[at][at]
            for column in range(at, len(row)):
                row[column] -= share * rows[at][column]
    found = [0.0] * len(rows)
    for at in reversed(range(len(rows))):
        known = math.fsum(rows[at][other] * found[other] for other in range(at + 1, len(rows)))
        found[at] = (rows[at][-1] - known) / rows[at][at]
    return found
