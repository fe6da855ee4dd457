"""C02. The update of one tensor goes the other way."""

from __future__ import annotations

from random import Random
from typing import Final

from saksi.range.case import Case, Named, Parameters, somewhere

__all__ = ["CASE"]


def _draw(rng: Random) -> Parameters:
    return {"AT": somewhere(rng), "INDEX": rng.randrange(6)}


CASE: Final = Case(
    row="C02",
    name="sign-of-one",
    what="The update of one tensor goes the other way.",
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
        grads = [-each if at == INDEX else each for at, each in enumerate(grads)]
    return original(params, grads, *states, **more)


adam.adam = changed
""",
    },
)
