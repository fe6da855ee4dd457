"""C09. A tensor gets no gradient any more, and stands still. Held to the plan of its program."""

from __future__ import annotations

from random import Random
from typing import Final

from saksi.range import declared
from saksi.range.case import TENSORS, Case, Named, Parameters, somewhere

__all__ = ["CASE"]


def _draw(rng: Random) -> Parameters:
    return {"AT": somewhere(rng), "TENSOR": rng.choice(TENSORS)}


CASE: Final = Case(
    row="C09",
    name="layer-frozen",
    what="A tensor gets no gradient any more, and stands still.",
    layers=("live",),
    named=(Named(code=r"(optimizer|plan|gradients?|coverage)\..*", pattern=r"{TENSOR}|no gradient"),),
    draw=_draw,
    settings=declared.TRAIN,
    script={
        "batch": """\
if step == AT:
    acted()
    dict(model.named_parameters())[TENSOR].requires_grad_(False)
""",
    },
)
