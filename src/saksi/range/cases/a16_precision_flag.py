"""A16. A flag lets products of matrices be less exact from a step on."""

from __future__ import annotations

from random import Random
from typing import Final

from saksi.range.case import Case, Named, Parameters, somewhere

__all__ = ["CASE"]


def _draw(rng: Random) -> Parameters:
    return {"AT": somewhere(rng), "PRECISION": rng.choice(("medium", "high"))}


CASE: Final = Case(
    row="A16",
    name="precision-flag",
    what="A flag lets products of matrices be less exact from a step on.",
    layers=("live",),
    named=(Named(code=r"live.flag_changed", pattern=r"matmul"),),
    draw=_draw,
    script={
        "batch": """\
if step == AT:
    torch.set_float32_matmul_precision(PRECISION)
    acted()
""",
    },
)
