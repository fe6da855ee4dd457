"""F06. Answers of the evaluation are others from an epoch on."""

from __future__ import annotations

from random import Random
from typing import Final

from saksi.range.case import Case, Named, Parameters

__all__ = ["CASE"]


def _draw(rng: Random) -> Parameters:
    return {"AT": 10 * rng.randint(2, 5), "COUNT": rng.randint(4, 40)}


CASE: Final = Case(
    row="F06",
    name="answers-changed",
    what="Answers of the evaluation are others from an epoch on.",
    layers=("live", "replay"),
    named=(Named(code=r"data\..*"),),
    draw=_draw,
    script={
        "evaluating": """\
if step == AT:
    acted()
    labels[160 : 160 + COUNT] = (labels[160 : 160 + COUNT] + 1) % 5
""",
    },
    program="recipe.py",
    reason="a batch is held to what it was once it stood still for three epochs",
)
