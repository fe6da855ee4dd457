"""F07. Weights are others during an evaluation only, and put back before training goes on."""

from __future__ import annotations

from random import Random
from typing import Final

from saksi.range.case import Case, Named, Parameters

__all__ = ["CASE"]


def _draw(rng: Random) -> Parameters:
    return {"AT": 10 * rng.randint(2, 5), "SCALE": rng.choice((0.0, 0.3))}


CASE: Final = Case(
    row="F07",
    name="worse-when-asked",
    what="Weights are others during an evaluation only, and put back before training goes on.",
    layers=("live", "replay"),
    named=(
        Named(code=r"(state|ckpt|evaluation)\.(?!not_checkable).*"),
        Named(code=r"replay\.saved_differs", pattern=r"best\.pt .*(content|alone)"),
    ),
    draw=_draw,
    script={
        "evaluating": """\
if step >= AT:
    acted()
    kept = model[4].weight.detach().clone()
    model[4].weight.data.mul_(SCALE)
""",
        "evaluated": """\
if step >= AT:
    model[4].weight.data.copy_(kept)
""",
    },
    program="recipe.py",
    reason="put back before the next update begins; a file that is saved otherwise tells it beside a replay",
)
