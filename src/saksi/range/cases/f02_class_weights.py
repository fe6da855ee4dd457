"""F02. The loss weighs one class less from a step on."""

from __future__ import annotations

from random import Random
from typing import Final

from saksi.range.case import Case, Named, Parameters, somewhere

__all__ = ["CASE"]


def _draw(rng: Random) -> Parameters:
    return {"AT": somewhere(rng), "CLASS": rng.randrange(5), "WEIGHT": rng.choice((0.0, 0.3, 3.0))}


CASE: Final = Case(
    row="F02",
    name="class-weights",
    what="The loss weighs one class less from a step on.",
    layers=("live", "replay"),
    named=(Named(code=r"(loss|plan|live)\..*", pattern=r"weight|CrossEntropy"),),
    draw=_draw,
    script={
        "batch": """\
if step == AT:
    acted()
    loss_of.weight = torch.ones(5)
    loss_of.weight[CLASS] = WEIGHT
""",
    },
    reason="as F01",
)
