"""C05. The update uses another beta1 than the group says."""

from __future__ import annotations

from random import Random
from typing import Final

from saksi.range.case import Case, Named, Parameters, somewhere

__all__ = ["CASE"]


def _draw(rng: Random) -> Parameters:
    return {"AT": somewhere(rng), "BETA": rng.choice((0.5, 0.8, 0.95))}


CASE: Final = Case(
    row="C05",
    name="beta1-changed",
    what="The update uses another beta1 than the group says.",
    layers=("live",),
    named=(
        Named(code=r"optimizer.update_differs", pattern=r"AdamW?\.step"),
        Named(code=r"optimizer.state_differs", pattern=r"AdamW?\.step"),
    ),
    draw=_draw,
    script={
        "built": """\
from torch.optim import adam

original = adam.adam


def changed(params, grads, *states, **more):
    if step >= AT:
        acted()
        more["beta1"] = BETA
    return original(params, grads, *states, **more)


adam.adam = changed
""",
    },
)
