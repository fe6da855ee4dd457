"""B02. From an epoch on, both ranks are given the data of the first one."""

from __future__ import annotations

from random import Random
from typing import Final

from saksi.range.case import Case, Named, Parameters

__all__ = ["CASE"]


def _draw(rng: Random) -> Parameters:
    return {"AT": 20 * rng.randint(1, 2)}


CASE: Final = Case(
    row="B02",
    name="same-batches",
    what="From an epoch on, both ranks are given the data of the first one.",
    layers=("live",),
    named=(Named(code=r"agreement.batches_equal"),),
    draw=_draw,
    script={
        "epoch": """\
if step >= AT:
    acted()
    torch.manual_seed(100)
    loader = DataLoader(share[0], batch_size=16, shuffle=True)
""",
    },
    program="ranks.py",
)
