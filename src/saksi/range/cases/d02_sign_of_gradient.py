"""D02. One tensor's gradient is turned before the optimizer reads it."""

from __future__ import annotations

from random import Random
from typing import Final

from saksi.range.case import TENSORS, Case, Named, Parameters, somewhere

__all__ = ["CASE"]


def _draw(rng: Random) -> Parameters:
    return {"AT": somewhere(rng), "TENSOR": rng.choice(TENSORS)}


CASE: Final = Case(
    row="D02",
    name="sign-of-gradient",
    what="One tensor's gradient is turned before the optimizer reads it.",
    layers=("live", "replay"),
    named=(Named(code=r"gradients?\..*", pattern=r"{TENSOR}"),),
    draw=_draw,
    script={
        "clipped": """\
if step >= AT:
    acted()
    dict(model.named_parameters())[TENSOR].grad.neg_()
""",
    },
    reason="within the first eight updates, or in elements that were not drawn, it looks like a habit",
)
