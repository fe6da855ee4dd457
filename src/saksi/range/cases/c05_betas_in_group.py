"""C05. The group's betas are set anew by hand."""

from __future__ import annotations

from random import Random
from typing import Final

from saksi.range.case import Case, Named, Parameters, somewhere

__all__ = ["CASE"]


def _draw(rng: Random) -> Parameters:
    return {"AT": somewhere(rng), "BETA": rng.choice((0.99, 0.998, 0.9995))}


CASE: Final = Case(
    row="C05",
    name="betas-in-group",
    what="The group's betas are set anew by hand.",
    layers=("live",),
    named=(Named(code=r"plan.hyper_parameter_changed", pattern=r"betas"),),
    draw=_draw,
    script={
        "gradients": """\
if step == AT:
    acted()
    optimizer.param_groups[0]["betas"] = (0.9, BETA)
""",
    },
)
