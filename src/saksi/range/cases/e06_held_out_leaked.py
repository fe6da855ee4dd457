"""E06. From an epoch on, samples of the evaluation are among those of the training."""

from __future__ import annotations

from random import Random
from typing import Final

from saksi.range import declared
from saksi.range.case import Case, Named, Parameters

__all__ = ["CASE"]


def _draw(rng: Random) -> Parameters:
    return {"AT": 10 * rng.randint(1, 4)}


CASE: Final = Case(
    row="E06",
    name="held-out-leaked",
    what="From an epoch on, samples of the evaluation are among those of the training.",
    layers=("live",),
    named=(Named(code=r"data\..*", pattern=r"the order is made by|dataset"),),
    draw=_draw,
    settings=declared.RECIPE,
    script={
        "epoch": """\
if step >= AT:
    acted()
    loader = DataLoader(TensorDataset(inputs, labels), batch_size=16, sampler=torch.randperm(256)[:160].tolist())
""",
    },
    program="recipe.py",
)
