"""F04. The loss that is reported to a tracker is smaller than that which was trained on, from a step on."""

from __future__ import annotations

from random import Random
from typing import Final

from saksi.range import declared
from saksi.range.case import Case, Named, Parameters, somewhere

__all__ = ["CASE"]


def _draw(rng: Random) -> Parameters:
    return {"AT": somewhere(rng), "FACTOR": rng.choice((0.8, 0.9, 0.95))}


CASE: Final = Case(
    row="F04",
    name="reported-smaller",
    what="The loss that is reported to a tracker is smaller than that which was trained on, from a step on.",
    layers=("live",),
    program="tracked.py",
    named=(Named(code=r"plan\.report_differs", pattern=r"metric train/loss"),),
    draw=_draw,
    settings=declared.TRACKED,
    script={
        "updated": """\
if step >= AT:
    acted()
    shown *= FACTOR
""",
    },
)
