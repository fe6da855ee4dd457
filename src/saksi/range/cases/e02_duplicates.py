"""E02. From an epoch on, some samples come again and again. Held to the plan of its program."""

from __future__ import annotations

from random import Random
from typing import Final

from saksi.range import declared
from saksi.range.case import Case, Named, Parameters

__all__ = ["CASE"]


def _draw(rng: Random) -> Parameters:
    return {"AT": 20 * rng.randint(1, 2), "COPIES": rng.randint(2, 8)}


CASE: Final = Case(
    row="E02",
    name="duplicates",
    what="From an epoch on, some samples come again and again.",
    layers=("live",),
    named=(Named(code=r"data\..*"),),
    draw=_draw,
    settings=declared.TRAIN,
    script={
        "epoch": """\
if step >= AT:
    acted()
    order = torch.randperm(len(data))[: len(data) // COPIES].repeat(COPIES)
    loader = DataLoader(data, batch_size=16, sampler=order.tolist())
""",
    },
)
