"""C07. The scaler is told of an overflow that there was not, and leaves the update out."""

from __future__ import annotations

from random import Random
from typing import Final

from saksi.range.case import Case, Named, Parameters, somewhere

__all__ = ["CASE"]


def _draw(rng: Random) -> Parameters:
    return {"AT": somewhere(rng), "EVERY": rng.randint(2, 4)}


CASE: Final = Case(
    row="C07",
    name="overflow-forced",
    what="The scaler is told of an overflow that there was not, and leaves the update out.",
    layers=("live", "replay"),
    named=(Named(code=r"(optimizer|dynamics|plan)\..*", pattern=r"left out|overflow"),),
    draw=_draw,
    script={
        "clipped": """\
if step >= AT and (step - AT) % EVERY == 0:
    acted()
    for found in scaler._per_optimizer_states[id(optimizer)]["found_inf_per_device"].values():
        found.fill_(1.0)
""",
    },
    program="recipe.py",
)
