"""C07. Every n-th update is claimed and not made."""

from __future__ import annotations

from random import Random
from typing import Final

from saksi.range.case import Case, Named, Parameters, somewhere

__all__ = ["CASE"]


def _draw(rng: Random) -> Parameters:
    return {"AT": somewhere(rng), "EVERY": rng.randint(2, 5)}


CASE: Final = Case(
    row="C07",
    name="update-left-out",
    what="Every n-th update is claimed and not made.",
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
    if step >= AT and (step - AT) % EVERY == 0:
        acted()
        return None
    return original(params, grads, *states, **more)


adam.adam = changed
""",
    },
)
