"""F04. The loss that is reported to a tracker is smaller than that which was trained on, from a step on."""

from __future__ import annotations

from random import Random
from typing import Final

from saksi.range.case import Case, Named, Parameters, somewhere

__all__ = ["CASE"]


def _draw(rng: Random) -> Parameters:
    return {"AT": somewhere(rng, 28, 44), "FACTOR": rng.choice((0.8, 0.9, 0.95))}


CASE: Final = Case(
    row="F04",
    name="reported-smaller",
    what="The loss that is reported to a tracker is smaller than that which was trained on, from a step on.",
    layers=("live",),
    program="tracked.py",
    named=(Named(code=r"metrics\.loss_differs", pattern=r"metric train/loss"),),
    draw=_draw,
    script={
        "updated": """\
if step >= AT:
    acted()
    shown *= FACTOR
""",
    },
    reason="a report that is another share of the loss is told as info: a program that weighs its loss looks the same",
)
