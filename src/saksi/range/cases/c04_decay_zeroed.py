"""C04. Weight decay is taken out of the group."""

from __future__ import annotations

from random import Random
from typing import Final

from saksi.range.case import Case, Named, Parameters, somewhere

__all__ = ["CASE"]


def _draw(rng: Random) -> Parameters:
    return {"AT": somewhere(rng), "DECAY": rng.choice((0.0, 0.001, 0.1))}


CASE: Final = Case(
    row="C04",
    name="decay-zeroed",
    what="Weight decay is taken out of the group.",
    layers=("live",),
    named=(Named(code=r"plan.hyper_parameter_changed", pattern=r"weight_decay"),),
    draw=_draw,
    script={
        "gradients": """\
if step == AT:
    acted()
    optimizer.param_groups[0]["weight_decay"] = DECAY
""",
    },
)
