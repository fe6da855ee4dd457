"""A12. A hook on a node of autograd scales what flows back from the loss."""

from __future__ import annotations

from random import Random
from typing import Final

from saksi.range.case import Case, Named, Parameters, somewhere

__all__ = ["CASE"]


def _draw(rng: Random) -> Parameters:
    return {"AT": somewhere(rng), "FACTOR": rng.choice((-0.5, 0.5, 3.0))}


CASE: Final = Case(
    row="A12",
    name="node-hook",
    what="A hook on a node of autograd scales what flows back from the loss.",
    layers=("live", "replay"),
    named=(Named(code=r"live.hook_added", pattern=r"scaled"),),
    draw=_draw,
    script={
        "loss": """\
if step >= AT:

    def scaled(gradients):
        acted()
        return tuple(each * FACTOR for each in gradients)

    loss.grad_fn.register_prehook(scaled)
""",
    },
    reason="torch gives no list of the hooks on nodes of autograd; the effect is for replay",
)
