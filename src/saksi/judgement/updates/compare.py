"""Where a tensor lies elsewhere than its rule expects, and what the difference looks like."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Final, Literal

import msgspec

from saksi.judgement.updates.samples import Sampled
from saksi.judgement.updates.values import Expected, Numbers, Quantity

__all__ = ["PARAMETER", "Apart", "Shape", "differences", "moved", "needed", "shape_of"]

Shape = Literal["unchanged", "reversed", "scaled", "other"]
PARAMETER: Final = "parameter"
FEWEST_BITS: Final = 4
MANY_BITS: Final = 0.02
NEAR: Final = 1e-3
"""How near to -1 the share of a reversed update lies."""


class Apart(msgspec.Struct, frozen=True, kw_only=True):
    """One quantity of one tensor of which elements lie outside of what rounding explains.

    `expected` and `seen` are what the step should have added to those elements, and what it added; `room` is what
    rounding explains. `by_bits`: they lie within it, and are not the same bits.
    """

    name: str
    quantity: str
    bad: int
    of: int
    expected: tuple[float, ...]
    seen: tuple[float, ...]
    room: tuple[float, ...]
    by_bits: bool = False


def needed(elements: int) -> int:
    """How many of so many elements must not be the same bits: an honest kernel has one in some thousand."""
    return max(min(elements, FEWEST_BITS), math.ceil(elements * MANY_BITS))


def differences(sampled: Sampled, expected: Expected, *, largest: float) -> Iterator[Apart]:
    """Every quantity with an element outside its tolerance; `largest` is that of the kernel's precision."""
    around = sampled.around
    pairs: list[tuple[str, Quantity, Numbers, Numbers]] = [
        (PARAMETER, expected.parameter, around.parameter, around.parameter_after)
    ]
    for name, quantity in expected.state.items():
        if name in around.after:
            before = around.before.get(name) or [0.0] * len(quantity.values)
            pairs.append((name, quantity, before, around.after[name]))
    beyond = _beyond(expected, len(around.parameter), largest)
    for name, quantity, before, after in pairs:
        compared = [at for at in range(len(after)) if len(after) != len(beyond) or not beyond[at]]
        bad = [at for at in compared if _is_outside(quantity, at, after[at])]
        by_bits = quantity.to_the_bit and not bad
        if quantity.to_the_bit:
            bad = [at for at in compared if _are_other_bits(quantity.values[at], after[at])]
        if bad:
            yield Apart(
                name=sampled.name,
                quantity=name,
                bad=len(bad),
                of=len(after),
                expected=tuple(quantity.change[at] for at in bad),
                seen=tuple(after[at] - before[at] for at in bad),
                room=tuple(quantity.tolerance[at] for at in bad),
                by_bits=by_bits,
            )


def _beyond(expected: Expected, elements: int, largest: float) -> list[bool]:
    """Of which elements something overflows in the kernel's precision that is finite here: those are not compared."""
    found = [False] * elements
    for quantity in (expected.parameter, *expected.state.values()):
        if len(quantity.values) == elements:
            for at, value in enumerate(quantity.values):
                found[at] = found[at] or largest < abs(value) < math.inf
    return found


def moved(sampled: Sampled) -> Iterator[Apart]:
    """Of an Update that was skipped: the parameter, if an element of it changed all the same."""
    around = sampled.around
    rows = [
        (0.0, after - before, 0.0)
        for before, after in zip(around.parameter, around.parameter_after, strict=True)
        if after != before and not (math.isnan(after) and math.isnan(before))
    ]
    if rows:
        expected, seen, room = zip(*rows, strict=True)
        yield Apart(
            name=sampled.name, quantity=PARAMETER, bad=len(rows), of=len(around.parameter),
            expected=expected, seen=seen, room=room,
        )  # fmt: skip


def _is_outside(quantity: Quantity, at: int, value: float) -> bool:
    wanted = quantity.values[at]
    if not math.isfinite(wanted):
        return math.isfinite(value)  # what is not finite goes in, and comes out
    return not abs(value - wanted) <= quantity.tolerance[at]


def _are_other_bits(wanted: float, value: float) -> bool:
    return value != wanted and not (math.isnan(value) and math.isnan(wanted))


def shape_of(apart: Iterable[Apart]) -> tuple[Shape, float | None]:
    """What the difference looks like over all of these; of a scaled update, by how much."""
    rows = [row for each in apart for row in zip(each.expected, each.seen, each.room, strict=True)]
    if not rows or not all(math.isfinite(each) for row in rows for each in row):
        return "other", None
    if all(seen == 0.0 for _, seen, _ in rows):
        return "unchanged", 0.0
    weight = math.fsum(wanted * wanted for wanted, _, _ in rows)
    if not weight or not math.isfinite(weight):
        return "other", None
    share = math.fsum(wanted * seen for wanted, seen, _ in rows) / weight
    if any(abs(seen - share * wanted) > room for wanted, seen, room in rows):
        return "other", None
    return ("reversed" if abs(share + 1.0) <= NEAR else "scaled"), share
