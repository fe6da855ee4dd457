"""C01. The learning rate in the group is scaled by hand once."""

from __future__ import annotations

from random import Random
from typing import Final

from saksi.range.case import Case, Named, Parameters, somewhere

__all__ = ["CASE"]


def _draw(rng: Random) -> Parameters:
    return {"AT": somewhere(rng), "FACTOR": rng.choice((0.5, 0.9, 0.97, 1.1))}


CASE: Final = Case(
    row="C01",
    name="group-rate",
    what="The learning rate in the group is scaled by hand once.",
    layers=("live",),
    named=(Named(code=r"plan\..*", pattern=r"lr|rate|schedule"),),
    draw=_draw,
    script={
        "gradients": """\
if step == AT:
    acted()
    optimizer.param_groups[0]["lr"] *= FACTOR
""",
    },
    reason="without a plan a rate that is multiplied is told as info: a second schedule looks the same",
)
