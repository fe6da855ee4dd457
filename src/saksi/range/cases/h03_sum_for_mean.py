"""H03. Gradients of the ranks are added up where their mean is meant."""

from __future__ import annotations

from random import Random
from typing import Final

from saksi.range.case import Case, Named, Parameters, somewhere

__all__ = ["CASE"]


def _draw(rng: Random) -> Parameters:
    return {"AT": somewhere(rng)}


CASE: Final = Case(
    row="H03",
    name="sum-for-mean",
    what="Gradients of the ranks are added up where their mean is meant.",
    layers=("live", "replay"),
    named=(Named(code=r"(gradients?|agreement)\..*"),),
    draw=_draw,
    script={
        "clipped": """\
if step >= AT:
    acted()
    for parameter in model.parameters():
        parameter.grad.mul_(2)
""",
    },
    program="ranks.py",
)
