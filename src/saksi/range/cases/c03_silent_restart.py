"""C03. The schedule begins anew in the middle."""

from __future__ import annotations

from random import Random
from typing import Final

from saksi.range import declared
from saksi.range.case import Case, Named, Parameters, somewhere

__all__ = ["CASE"]


def _draw(rng: Random) -> Parameters:
    return {"AT": somewhere(rng, 12)}


CASE: Final = Case(
    row="C03",
    name="silent-restart",
    what="The schedule begins anew in the middle.",
    layers=("live",),
    named=(Named(code=r"plan\..*", pattern=r"lr|rate|schedule"),),
    draw=_draw,
    settings=declared.TRAIN,
    script={
        "updated": """\
if step == AT:
    acted()
    schedule.last_epoch = 0
    optimizer.param_groups[0]["lr"] = schedule.base_lrs[0]
""",
    },
    delay=1,
)
