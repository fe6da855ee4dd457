"""H01. One rank scales its gradient before ranks average theirs."""

from __future__ import annotations

from random import Random
from typing import Final

from saksi.range.case import Case, Named, Parameters, somewhere

__all__ = ["CASE"]


def _draw(rng: Random) -> Parameters:
    return {"AT": somewhere(rng), "FACTOR": rng.choice((-1.0, 0.5, 2.0))}


CASE: Final = Case(
    row="H01",
    name="biased-rank",
    what="One rank scales its gradient before ranks average theirs.",
    layers=("live", "replay"),
    named=(Named(code=r"(gradients?|agreement)\..*"),),
    draw=_draw,
    script={
        "gradients": """\
if step >= AT and rank == 1:
    acted()
    for parameter in model.parameters():
        parameter.grad.mul_(FACTOR)
""",
    },
    program="ranks.py",
)
