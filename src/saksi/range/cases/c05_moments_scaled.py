"""C05. All second moments are scaled between two steps."""

from __future__ import annotations

from random import Random
from typing import Final

from saksi.range.case import Case, Named, Parameters, somewhere

__all__ = ["CASE"]


def _draw(rng: Random) -> Parameters:
    return {"AT": somewhere(rng), "FACTOR": rng.choice((0.5, 1.5, 2.0))}


CASE: Final = Case(
    row="C05",
    name="moments-scaled",
    what="All second moments are scaled between two steps.",
    layers=("live",),
    named=(Named(code=r"state.changed_between_steps"),),
    draw=_draw,
    script={
        "updated": """\
if step == AT:
    acted()
    for state in optimizer.state.values():
        state["exp_avg_sq"].mul_(FACTOR)
""",
    },
    delay=1,
)
