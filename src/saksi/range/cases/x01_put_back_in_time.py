"""X01. A function of torch is another in the forward pass only, and put back before an inventory.

It knows that an inventory of live code is taken as an update begins, or as one is asked for in between, which is rare.
"""

from __future__ import annotations

from random import Random
from typing import Final

from saksi.range.case import Case, Named, Parameters, somewhere

__all__ = ["CASE"]


def _draw(rng: Random) -> Parameters:
    return {"AT": somewhere(rng), "FACTOR": rng.choice((0.9, 1.05))}


CASE: Final = Case(
    row="X01",
    name="put-back-in-time",
    what="A function of torch is another in the forward pass only, and put back before an inventory.",
    layers=("live", "replay"),
    named=(Named(code=r"live.code_(replaced|differs)", pattern=r"linear"),),
    draw=_draw,
    script={
        "batch": """\
if step >= AT:
    right = nn.functional.linear
    nn.functional.linear = lambda values, weight, bias=None: right(values, weight, bias) * FACTOR
""",
        "loss": """\
if step >= AT:
    acted()
    nn.functional.linear = right
""",
    },
    reason="inventories are taken as an update begins, and what is put back before is in none",
)
