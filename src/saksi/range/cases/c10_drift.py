"""C10. All weights are scaled by a hair behind each step."""

from __future__ import annotations

from random import Random
from typing import Final

from saksi.range.case import Case, Named, Parameters, somewhere

__all__ = ["CASE"]


def _draw(rng: Random) -> Parameters:
    return {"AT": somewhere(rng), "RATE": rng.choice((1e-5, 1e-4, 1e-3))}


CASE: Final = Case(
    row="C10",
    name="drift",
    what="All weights are scaled by a hair behind each step.",
    layers=("live",),
    named=(Named(code=r"state.changed_between_steps"),),
    draw=_draw,
    script={
        "updated": """\
if step >= AT:
    acted()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1 - RATE)
""",
    },
    delay=1,
)
