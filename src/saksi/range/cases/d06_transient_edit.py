"""D06. Weights are others during forward and backward only, and put back before they are looked at."""

from __future__ import annotations

from random import Random
from typing import Final

from saksi.range.case import TENSORS, Case, Named, Parameters, somewhere

__all__ = ["CASE"]


def _draw(rng: Random) -> Parameters:
    return {"AT": somewhere(rng), "TENSOR": rng.choice(TENSORS), "SCALE": rng.choice((0.01, 0.1))}


CASE: Final = Case(
    row="D06",
    name="transient-edit",
    what="Weights are others during forward and backward only, and put back before they are looked at.",
    layers=("replay",),
    named=(Named(code=r"replay\..*", pattern=r"{TENSOR}"),),
    draw=_draw,
    script={
        "batch": """\
if step >= AT:
    acted()
    edited = dict(model.named_parameters())[TENSOR]
    kept = edited.detach().clone()
    edited.data.mul_(1 + SCALE)
""",
        "gradients": """\
if step >= AT:
    edited.data.copy_(kept)
""",
    },
    reason="put back before the step begins: no digest stands in between; only replay shows it",
)
