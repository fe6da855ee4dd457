"""E01. From an epoch on, samples come in the order of their labels. Held to the plan of its program."""

from __future__ import annotations

from random import Random
from typing import Final

from saksi.range import declared
from saksi.range.case import Case, Named, Parameters

__all__ = ["CASE"]


def _draw(rng: Random) -> Parameters:
    return {"AT": 20 * rng.randint(1, 2)}


CASE: Final = Case(
    row="E01",
    name="order-by-label",
    what="From an epoch on, samples come in the order of their labels.",
    layers=("live",),
    named=(Named(code=r"data\..*"),),
    draw=_draw,
    settings=declared.TRAIN,
    script={
        "epoch": """\
if step >= AT:
    acted()
    loader = DataLoader(data, batch_size=16, sampler=labels.argsort().tolist())
""",
    },
)
