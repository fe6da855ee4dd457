"""F04. The score that is written down is better than the evaluation found."""

from __future__ import annotations

from random import Random
from typing import Final

from saksi.range.case import Case, Named, Parameters

__all__ = ["CASE"]


def _draw(rng: Random) -> Parameters:
    return {"AT": 10 * rng.randint(1, 5), "MORE": rng.choice((0.02, 0.1))}


CASE: Final = Case(
    row="F04",
    name="score-raised",
    what="The score that is written down is better than the evaluation found.",
    layers=("live", "replay"),
    named=(
        Named(code=r"(metrics?|evaluation)\..*"),
        Named(code=r"replay\.saved_differs", pattern=r"best\.pt .*(content|alone)"),
    ),
    draw=_draw,
    script={
        "evaluated": """\
if step >= AT:
    acted()
    score = score + MORE
""",
    },
    program="recipe.py",
    reason="evaluations and what they find are in no record; a file that is saved otherwise tells it beside a replay",
)
