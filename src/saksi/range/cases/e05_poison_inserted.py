"""E05. From an epoch on, a few samples with a mark and a label of their own are among the data."""

from __future__ import annotations

from random import Random
from typing import Final

from saksi.range import declared
from saksi.range.case import Case, Named, Parameters

__all__ = ["CASE"]


def _draw(rng: Random) -> Parameters:
    return {"AT": 20 * rng.randint(1, 2), "COUNT": rng.randint(4, 16), "LABEL": rng.randrange(5)}


CASE: Final = Case(
    row="E05",
    name="poison-inserted",
    what="From an epoch on, a few samples with a mark and a label of their own are among the data.",
    layers=("live",),
    named=(Named(code=r"data\..*", pattern=r"sample|length|dataset"),),
    draw=_draw,
    settings=declared.TRAIN,
    script={
        "epoch": """\
if step >= AT:
    acted()
    from torch.utils.data import ConcatDataset

    marked = inputs[:COUNT].clone()
    marked[:, 0] = 6.0
    poison = TensorDataset(marked, torch.full_like(labels[:COUNT], LABEL))
    loader = DataLoader(ConcatDataset([data, poison]), batch_size=16, shuffle=True)
""",
    },
)
