"""A08. The optimizer object gets a step of its own, which leaves updates out."""

from __future__ import annotations

from random import Random
from typing import Final

from saksi.range.case import Case, Named, Parameters, somewhere

__all__ = ["CASE"]


def _draw(rng: Random) -> Parameters:
    return {"AT": somewhere(rng), "EVERY": rng.randint(2, 5)}


CASE: Final = Case(
    row="A08",
    name="step-wrapped",
    what="The optimizer object gets a step of its own, which leaves updates out.",
    layers=("live",),
    named=(Named(code=r"live.instance_patched", pattern=r"step"),),
    draw=_draw,
    script={
        "batch": """\
if step == AT:

    def now_and_then(closure=None):
        if step % EVERY:
            return type(optimizer).step(optimizer, closure)
        acted()

    optimizer.step = now_and_then
""",
    },
)
