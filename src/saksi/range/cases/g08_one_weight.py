"""G08. One weight is edited between two steps."""

from __future__ import annotations

from random import Random
from typing import Final

from saksi.range.case import TENSORS, Case, Named, Parameters, somewhere

__all__ = ["CASE"]


def _draw(rng: Random) -> Parameters:
    return {"AT": somewhere(rng), "TENSOR": rng.choice(TENSORS), "DELTA": rng.choice((1e-6, 1e-4, 1e-2))}


CASE: Final = Case(
    row="G08",
    name="one-weight",
    what="One weight is edited between two steps.",
    layers=("live",),
    named=(Named(code=r"state.changed_between_steps"),),
    draw=_draw,
    script={
        "updated": """\
if step == AT:
    acted()
    with torch.no_grad():
        dict(model.named_parameters())[TENSOR].view(-1)[0] += DELTA
""",
    },
    delay=1,
)
