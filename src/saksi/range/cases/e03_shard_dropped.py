"""E03. From an epoch on, a part of the data is never read. Held to the plan of its program."""

from __future__ import annotations

from random import Random
from typing import Final

from saksi.range import declared
from saksi.range.case import Case, Named, Parameters

__all__ = ["CASE"]


def _draw(rng: Random) -> Parameters:
    return {"AT": 20 * rng.randint(1, 2), "LEFT_OUT": rng.randint(2, 8)}


CASE: Final = Case(
    row="E03",
    name="shard-dropped",
    what="From an epoch on, a part of the data is never read.",
    layers=("live",),
    named=(Named(code=r"(data|coverage)\..*", pattern=r"sample|steps"),),
    draw=_draw,
    settings=declared.TRAIN,
    script={
        "epoch": """\
if step >= AT:
    acted()
    loader = DataLoader(data, batch_size=16, sampler=torch.randperm(len(data))[: -16 * LEFT_OUT].tolist())
""",
    },
)
