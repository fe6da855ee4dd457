"""C01. The learning rate in the group is scaled by hand once. Held to the plan of its program."""

from __future__ import annotations

from random import Random
from typing import Final

from saksi.range import declared
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
    settings=declared.TRAIN,
    script={
        "gradients": """\
if step == AT:
    acted()
    optimizer.param_groups[0]["lr"] *= FACTOR
""",
    },
)
