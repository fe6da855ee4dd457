"""C08. The averaged weights follow at another pace than was written."""

from __future__ import annotations

from random import Random
from typing import Final

from saksi.range.case import Case, Named, Parameters, somewhere

__all__ = ["CASE"]


def _draw(rng: Random) -> Parameters:
    return {"AT": somewhere(rng), "PACE": rng.choice((0.0, 0.5))}


CASE: Final = Case(
    row="C08",
    name="average-follows-faster",
    what="The averaged weights follow at another pace than was written.",
    layers=("live", "replay"),
    named=(Named(code=r"(state|optimizer|live)\..*", pattern=r"averag|ema"),),
    draw=_draw,
    script={
        "updated": """\
if step == AT:
    acted()
    average.multi_avg_fn = torch.optim.swa_utils.get_ema_multi_avg_fn(PACE)
""",
    },
    delay=1,
    program="recipe.py",
)
