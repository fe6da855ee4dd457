"""C03. The schedule is set forward by some steps. Held to the plan of its program."""

from __future__ import annotations

from random import Random
from typing import Final

from saksi.range import declared
from saksi.range.case import Case, Named, Parameters, somewhere

__all__ = ["CASE"]


def _draw(rng: Random) -> Parameters:
    return {"AT": somewhere(rng), "SKIPPED": rng.randint(5, 20)}


CASE: Final = Case(
    row="C03",
    name="schedule-shifted",
    what="The schedule is set forward by some steps.",
    layers=("live",),
    named=(Named(code=r"plan\..*", pattern=r"lr|rate|schedule"),),
    draw=_draw,
    settings=declared.TRAIN,
    script={
        "updated": """\
if step == AT:
    acted()
    schedule.last_epoch += SKIPPED
""",
    },
    delay=1,
)
