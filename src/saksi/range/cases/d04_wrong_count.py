"""D04. The loss is summed and divided by another number of samples than there are."""

from __future__ import annotations

from random import Random
from typing import Final

from saksi.range.case import Case, Named, Parameters, somewhere

__all__ = ["CASE"]


def _draw(rng: Random) -> Parameters:
    return {"AT": somewhere(rng), "COUNT": rng.choice((8, 12, 24, 40))}


CASE: Final = Case(
    row="D04",
    name="wrong-count",
    what="The loss is summed and divided by another number of samples than there are.",
    layers=("live", "replay"),
    named=(Named(code=r"(gradients?|data|loss)\..*"),),
    draw=_draw,
    script={
        "loss": """\
if step >= AT:
    acted()
    loss = loss * len(x) / COUNT
""",
    },
    reason="what the loss is divided by is not recorded; replay makes it again",
)
