"""E07. The batch is edited after it was handed out."""

from __future__ import annotations

from random import Random
from typing import Final

from saksi.range.case import Case, Named, Parameters, somewhere

__all__ = ["CASE"]


def _draw(rng: Random) -> Parameters:
    return {"AT": somewhere(rng), "COLUMN": rng.randrange(20)}


CASE: Final = Case(
    row="E07",
    name="batch-edited",
    what="The batch is edited after it was handed out.",
    layers=("replay",),
    named=(Named(code=r"(replay|data)\..*"),),
    draw=_draw,
    script={
        "batch": """\
if step >= AT:
    acted()
    x[:, COLUMN] = 0.0
""",
    },
    reason="the digest is of the batch that the loader gave; only replay shows what became of it",
)
