"""D07. Gradients are clipped while they still carry the scale of the loss."""

from __future__ import annotations

from random import Random
from typing import Final

from saksi.range import declared
from saksi.range.case import Case, Named, Parameters, somewhere

__all__ = ["CASE"]


def _draw(rng: Random) -> Parameters:
    return {"AT": somewhere(rng)}


CASE: Final = Case(
    row="D07",
    name="clipped-before-unscaled",
    what="Gradients are clipped while they still carry the scale of the loss.",
    layers=("live", "replay"),
    named=(Named(code=r"gradients?\..*", pattern=r"clip|norm|scal"),),
    draw=_draw,
    settings=declared.RECIPE,
    script={
        "gradients": """\
if step >= AT:
    acted()
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
""",
    },
    program="recipe.py",
)
