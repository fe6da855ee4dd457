"""F05. The evaluation's score is turned around, so that the worst weights are kept as the best."""

from __future__ import annotations

from random import Random
from typing import Final

from saksi.range.case import Case, Named, Parameters

__all__ = ["CASE"]


def _draw(rng: Random) -> Parameters:
    return {"AT": 10 * rng.randint(1, 3)}


CASE: Final = Case(
    row="F05",
    name="worst-kept",
    what="The evaluation's score is turned around, so that the worst weights are kept as the best.",
    layers=("live", "replay"),
    named=(
        Named(code=r"(metrics?|evaluation|ckpt)\.(?!not_checkable).*"),
        Named(code=r"replay\.saved_differs", pattern=r"best\.pt .*(content|alone)"),
    ),
    draw=_draw,
    script={
        "evaluated": """\
if step >= AT:
    acted()
    score = 2.0 - score
""",
    },
    program="recipe.py",
    reason="evaluations and what they find are in no record; a file that is saved otherwise tells it beside a replay",
)
