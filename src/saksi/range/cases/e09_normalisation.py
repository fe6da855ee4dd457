"""E09. Inputs are scaled in the middle of the run. Held to the plan of its program."""

from __future__ import annotations

from random import Random
from typing import Final

from saksi.range import declared
from saksi.range.case import Case, Named, Parameters, somewhere

__all__ = ["CASE"]


def _draw(rng: Random) -> Parameters:
    return {"AT": somewhere(rng), "FACTOR": rng.choice((0.9, 1.05, 1.2))}


CASE: Final = Case(
    row="E09",
    name="normalisation",
    what="Inputs are scaled in the middle of the run.",
    layers=("live", "replay"),
    named=(Named(code=r"data\..*"),),
    draw=_draw,
    settings=declared.TRAIN,
    script={
        "updated": """\
if step == AT:
    acted()
    inputs.mul_(FACTOR)
""",
    },
    delay=1,
)
