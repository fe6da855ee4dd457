"""C02. One row in a hundred of a large tensor is moved further behind each update."""

from __future__ import annotations

from random import Random
from typing import Final

from saksi.range.case import Case, Named, Parameters, somewhere

__all__ = ["CASE"]


def _draw(rng: Random) -> Parameters:
    return {"AT": somewhere(rng), "SHARE": 0.01, "DELTA": rng.choice((1e-4, 1e-3))}


CASE: Final = Case(
    row="C02",
    name="few-rows",
    what="One row in a hundred of a large tensor is moved further behind each update.",
    layers=("live", "replay"),
    named=(Named(code=r"optimizer.update_differs", pattern=r"AdamW?\.step"),),
    draw=_draw,
    script={
        "built": """\
from torch.optim import adam

original = adam.adam


def changed(params, grads, *states, **more):
    original(params, grads, *states, **more)
    if step >= AT:
        acted()
        rows = params[0][: max(1, round(SHARE * len(params[0])))]
        rows.add_(DELTA)


adam.adam = changed
""",
    },
)
