"""H03. The mean of the gradients leaves out one rank."""

from __future__ import annotations

from random import Random
from typing import Final

from saksi.range.case import Case, Named, Parameters, somewhere

__all__ = ["CASE"]


def _draw(rng: Random) -> Parameters:
    return {"AT": somewhere(rng, 6, 30), "ONLY": rng.randint(0, 1)}


CASE: Final = Case(
    row="H03",
    name="rank-left-out",
    what="The mean of the gradients leaves out one rank.",
    layers=("live", "replay"),
    named=(Named(code=r"(gradients?|agreement)\..*"),),
    draw=_draw,
    script={
        "clipped": """\
if step >= AT:
    acted()
    for parameter, own in zip(model.parameters(), kept, strict=True):
        parameter.grad.copy_(own)
        dist.broadcast(parameter.grad, ONLY)
""",
        "gradients": """\
kept = [parameter.grad.clone() for parameter in model.parameters()]
""",
    },
    program="ranks.py",
)
