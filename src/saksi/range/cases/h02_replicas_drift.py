"""H02. One rank updates with another gradient than was agreed on."""

from __future__ import annotations

from random import Random
from typing import Final

from saksi.range.case import Case, Named, Parameters, somewhere

__all__ = ["CASE"]


def _draw(rng: Random) -> Parameters:
    return {"AT": somewhere(rng), "FACTOR": rng.choice((0.9, 1.001, 1.1))}


CASE: Final = Case(
    row="H02",
    name="replicas-drift",
    what="One rank updates with another gradient than was agreed on.",
    layers=("live",),
    named=(Named(code=r"agreement.replicas_differ"),),
    draw=_draw,
    script={
        "clipped": """\
if step >= AT and rank == 1:
    acted()
    for parameter in model.parameters():
        parameter.grad.add_(FACTOR * 1e-3)
""",
    },
    program="ranks.py",
)
