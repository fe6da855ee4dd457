"""C06. The optimizer's counters go back to where they began."""

from __future__ import annotations

from random import Random
from typing import Final

from saksi.range.case import Case, Named, Parameters, somewhere

__all__ = ["CASE"]


def _draw(rng: Random) -> Parameters:
    return {"AT": somewhere(rng), "COUNT": rng.randint(0, 2)}


CASE: Final = Case(
    row="C06",
    name="step-counter-reset",
    what="The optimizer's counters go back to where they began.",
    layers=("live",),
    named=(
        Named(code=r"state.changed_between_steps"),
        Named(code=r"optimizer.state_differs", pattern=r"AdamW?\.step"),
    ),
    draw=_draw,
    script={
        "updated": """\
if step == AT:
    acted()
    for state in optimizer.state.values():
        state["step"].fill_(COUNT)
""",
    },
    delay=1,
)
