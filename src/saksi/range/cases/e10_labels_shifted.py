"""E10. Labels stand beside the sample before theirs."""

from __future__ import annotations

from random import Random
from typing import Final

from saksi.range.case import Case, Named, Parameters, somewhere

__all__ = ["CASE"]


def _draw(rng: Random) -> Parameters:
    return {"AT": somewhere(rng), "SHIFT": rng.randint(1, 5)}


CASE: Final = Case(
    row="E10",
    name="labels-shifted",
    what="Labels stand beside the sample before theirs.",
    layers=("replay",),
    named=(Named(code=r"(replay|data)\..*"),),
    draw=_draw,
    script={
        "batch": """\
if step >= AT:
    acted()
    y = y.roll(SHIFT)
""",
    },
    reason="the digest is of the batch that the loader gave; only replay shows what became of it",
)
