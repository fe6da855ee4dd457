"""J01. The loss that is written to the log is better than the one that was computed."""

from __future__ import annotations

from random import Random
from typing import Final

from saksi.range.case import Case, Named, Parameters, somewhere

__all__ = ["CASE"]


def _draw(rng: Random) -> Parameters:
    return {"AT": somewhere(rng), "FACTOR": rng.choice((0.5, 0.9))}


CASE: Final = Case(
    row="J01",
    name="loss-prettified",
    what="The loss that is written to the log is better than the one that was computed.",
    layers=("live",),
    named=(Named(code=r"(metrics?|loss)\..*"),),
    draw=_draw,
    script={
        "updated": """\
with open("log.txt", "a") as log:
    log.write(f"{step} {loss.item() * (FACTOR if step >= AT else 1.0)}\\n")
if step >= AT:
    acted()
""",
    },
    reason="what a program writes into a log of its own is not compared with the loss in the record",
)
