"""A16. The processor is told to take the smallest numbers for zero from a step on."""

from __future__ import annotations

from random import Random
from typing import Final

from saksi.range.case import Case, Named, Parameters, somewhere

__all__ = ["CASE"]


def _draw(rng: Random) -> Parameters:
    return {"AT": somewhere(rng)}


CASE: Final = Case(
    row="A16",
    name="denormals-flushed",
    what="The processor is told to take the smallest numbers for zero from a step on.",
    layers=("live", "replay"),
    named=(Named(code=r"live.flag_changed", pattern=r"denormal"),),
    draw=_draw,
    program="units.py",
    script={
        "batch": """\
if step == AT and torch.set_flush_denormal(True):
    acted()
""",
    },
    reason="torch gives no way to ask the processor for it; replay shows the effect",
)
