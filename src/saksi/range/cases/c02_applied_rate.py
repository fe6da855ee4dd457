"""C02. The update applies another rate than the group says."""

from __future__ import annotations

from random import Random
from typing import Final

from saksi.range.case import Case, Named, Parameters, somewhere

__all__ = ["CASE"]


def _draw(rng: Random) -> Parameters:
    return {"AT": somewhere(rng), "FACTOR": rng.choice((0.9, 0.97, 1.01, 1.03, 1.1))}


CASE: Final = Case(
    row="C02",
    name="applied-rate",
    what="The update applies another rate than the group says.",
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
        more["lr"] *= FACTOR
    return original(params, grads, *states, **more)


adam.adam = changed
""",
    },
)
