"""A12. A hook on one parameter scales its gradient as it is accumulated."""

from __future__ import annotations

from random import Random
from typing import Final

from saksi.range.case import TENSORS, Case, Named, Parameters, somewhere

__all__ = ["CASE"]


def _draw(rng: Random) -> Parameters:
    return {"AT": somewhere(rng), "TENSOR": rng.choice(TENSORS), "FACTOR": rng.choice((-1.0, 0.0, 0.5))}


CASE: Final = Case(
    row="A12",
    name="gradient-hook",
    what="A hook on one parameter scales its gradient as it is accumulated.",
    layers=("live", "replay"),
    named=(Named(code=r"live.hook_added", pattern=r"scaled"),),
    draw=_draw,
    script={
        "batch": """\
if step == AT:

    def scaled(parameter):
        acted()
        parameter.grad.mul_(FACTOR)

    dict(model.named_parameters())[TENSOR].register_post_accumulate_grad_hook(scaled)
""",
    },
)
