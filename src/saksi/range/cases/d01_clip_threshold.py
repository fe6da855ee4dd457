"""D01. Gradients are clipped a hundred times harder. Held to the plan of its program."""

from __future__ import annotations

from random import Random
from typing import Final

from saksi.range import declared
from saksi.range.case import Case, Named, Parameters, somewhere

__all__ = ["CASE"]


def _draw(rng: Random) -> Parameters:
    return {"AT": somewhere(rng), "NORM": rng.choice((0.005, 0.01, 0.02))}


CASE: Final = Case(
    row="D01",
    name="clip-threshold",
    what="Gradients are clipped a hundred times harder.",
    layers=("live",),
    named=(Named(code=r"(gradients?|plan|clip)\..*", pattern=r"clip|norm"),),
    draw=_draw,
    settings=declared.TRAIN,
    script={
        "gradients": """\
if step >= AT:
    acted()
    nn.utils.clip_grad_norm_(model.parameters(), NORM)
""",
    },
    reason="what begins within the first eight updates is taken for a habit of the program, and told as info",
)
