"""Where a tensor lies elsewhere than its rule expects, and what the difference looks like."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Final, Literal

import msgspec

from saksi.judgement.updates.samples import Sampled
from saksi.judgement.updates.values import Expected, Numbers, Quantity

__all__ = ["PARAMETER", "Apart", "Shape", "differences", "moved", "shape_of"]

Shape = Literal["unchanged", "reversed", "scaled", "other"]
PARAMETER: Final = "parameter"
NEAR: Final = 1e-3
"""How near to -1 the share of a reversed update lies."""


class Apart(msgspec.Struct, frozen=True, kw_only=True):
    """One quantity of one tensor of which elements lie outside of what rounding explains.

    `expected` and `seen` are what the step should have added to those elements, and what it added; `room` is what
    rounding explains.
    """

    name: str
    quantity: str
    bad: int
    of: int
    expected: tuple[float, ...]
    seen: tuple[float, ...]
    room: tuple[float, ...]


def differences(sampled: Sampled, expected: Expected, *, largest: float) -> Iterator[Apart]:
    """Every quantity with an element outside its tolerance; numbers beyond `largest` are not compared."""
    around = sampled.around
    pairs: list[tuple[str, Quantity, Numbers, Numbers]] = [
        (PARAMETER, expected.parameter, around.parameter, around.parameter_after)
    ]
    for name, quantity in expected.state.items():
        if name in around.after:
            before = around.before.get(name) or [0.0] * len(quantity.values)
            pairs.append((name, quantity, before, around.after[name]))
    for name, quantity, before, after in pairs:
        bad = [at for at in range(len(after)) if _is_outside(quantity, at, after[at], largest)]
        if bad:
            yield Apart(
                name=sampled.name,
                quantity=name,
                bad=len(bad),
                of=len(after),
                expected=tuple(quantity.change[at] for at in bad),
                seen=tuple(after[at] - before[at] for at in bad),
                room=tuple(quantity.tolerance[at] for at in bad),
            )


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


def _is_outside(quantity: Quantity, at: int, value: float, largest: float) -> bool:
    wanted = quantity.values[at]
    if not math.isfinite(wanted) or abs(wanted) > largest:
        return False  # what overflows in one precision need not in another
    return not abs(value - wanted) <= quantity.tolerance[at]


def shape_of(apart: Iterable[Apart]) -> tuple[Shape, float | None]:
    """What the difference looks like over all of these; of a scaled update, by how much."""
    rows = [row for each in apart for row in zip(each.expected, each.seen, each.room, strict=True)]
    if not rows or any(not math.isfinite(seen) for _, seen, _ in rows):
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
