"""C04. The update leaves out the weight decay that the group says."""

from __future__ import annotations

from random import Random
from typing import Final

from saksi.range.case import Case, Named, Parameters, somewhere

__all__ = ["CASE"]


def _draw(rng: Random) -> Parameters:
    return {"AT": somewhere(rng)}


CASE: Final = Case(
    row="C04",
    name="decay-left-out",
    what="The update leaves out the weight decay that the group says.",
    layers=("live",),
    named=(Named(code=r"optimizer.update_differs", pattern=r"AdamW?\.step"),),
    draw=_draw,
    script={
        "built": """\
from torch.optim import adam

original = adam.adam


def changed(params, grads, *states, **more):
    if step >= AT:
        acted()
        more["weight_decay"] = 0.0
    return original(params, grads, *states, **more)


adam.adam = changed
""",
    },
)
