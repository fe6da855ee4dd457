"""C08. The averaged weights, which belong to no optimizer, are edited."""

from __future__ import annotations

from random import Random
from typing import Final

from saksi.range.case import Case, Named, Parameters, somewhere

__all__ = ["CASE"]


def _draw(rng: Random) -> Parameters:
    return {"AT": somewhere(rng), "FACTOR": rng.choice((0.9, 1.1))}


CASE: Final = Case(
    row="C08",
    name="average-edited",
    what="The averaged weights, which belong to no optimizer, are edited.",
    layers=("live", "replay"),
    named=(Named(code=r"state\..*", pattern=r"averag|ema|buffer"),),
    draw=_draw,
    script={
        "updated": """\
if step == AT:
    acted()
    with torch.no_grad():
        for parameter in average.parameters():
            parameter.mul_(FACTOR)
""",
    },
    delay=1,
    program="recipe.py",
)
