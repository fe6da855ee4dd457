"""F01. The loss smooths labels from a step on."""

from __future__ import annotations

from random import Random
from typing import Final

from saksi.range.case import Case, Named, Parameters, somewhere

__all__ = ["CASE"]


def _draw(rng: Random) -> Parameters:
    return {"AT": somewhere(rng), "SMOOTHING": rng.choice((0.05, 0.1, 0.2))}


CASE: Final = Case(
    row="F01",
    name="hidden-smoothing",
    what="The loss smooths labels from a step on.",
    layers=("live", "replay"),
    named=(Named(code=r"(loss|plan|live)\..*", pattern=r"label_smoothing|CrossEntropy"),),
    draw=_draw,
    script={
        "batch": """\
if step == AT:
    acted()
    loss_of.label_smoothing = SMOOTHING
""",
    },
    reason="plain values that modules carry are in no inventory; the effect is for replay",
)
