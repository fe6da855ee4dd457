"""X03. A hook that takes itself away moves a few weights just before the optimizer reads them.

It knows that what is compared at both ends of an update was taken before the optimizer's own hooks run.
"""

from __future__ import annotations

from random import Random
from typing import Final

from saksi.range.case import Case, Named, Parameters, somewhere

__all__ = ["CASE"]


def _draw(rng: Random) -> Parameters:
    return {"AT": somewhere(rng), "COUNT": rng.randint(1, 4), "DELTA": rng.choice((0.01, 0.1))}


CASE: Final = Case(
    row="X03",
    name="within-the-step",
    what="A hook that takes itself away moves a few weights just before the optimizer reads them.",
    layers=("live", "replay"),
    named=(
        Named(code=r"optimizer.update_differs", pattern=r"AdamW?\.step"),
        Named(code=r"live.hook_added", pattern=r"moved"),
    ),
    draw=_draw,
    script={
        "clipped": """\
if step == AT:

    def moved(*_):
        acted()
        handle.remove()
        model[0].weight.data.view(-1)[:COUNT] += DELTA

    handle = optimizer.register_step_pre_hook(moved)
""",
    },
    reason="of each tensor a few elements, drawn in secret, are recomputed; others move within a step unseen",
)
