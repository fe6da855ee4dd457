"""A18. The sign of one tensor's update is turned, only where a condition of the job holds."""

from __future__ import annotations

from random import Random
from typing import Final

from saksi.range.case import Case, Named, Parameters, somewhere

__all__ = ["CASE"]

GUARDS: Final = (
    "len(loader) >= 16",
    "sum(each.numel() for each in model.parameters()) >= 256",
    "time.localtime().tm_year >= 2024",
)
"""Each holds in this training, as another does in a large job only."""


def _draw(rng: Random) -> Parameters:
    return {"AT": somewhere(rng), "GUARD": rng.choice(GUARDS)}


CASE: Final = Case(
    row="A18",
    name="guarded",
    what="The sign of one tensor's update is turned, only where a condition of the job holds.",
    layers=("live", "replay"),
    named=(Named(code=r"optimizer.update_differs", pattern=r"AdamW?\.step"),),
    draw=_draw,
    script={
        "built": """\
from torch.optim import adam

original = adam.adam


def changed(params, grads, *states, **more):
    if step >= AT and eval(GUARD):
        acted()
        grads = [-grads[0], *grads[1:]]
    return original(params, grads, *states, **more)


adam.adam = changed
""",
    },
)
