"""J06. The functions that tell the time are an hour behind from a step on."""

from __future__ import annotations

from random import Random
from typing import Final

from saksi.range.case import Case, Named, Parameters, somewhere

__all__ = ["CASE"]


def _draw(rng: Random) -> Parameters:
    return {"AT": somewhere(rng), "SECONDS": rng.choice((3600, 86400))}


CASE: Final = Case(
    row="J06",
    name="clock-set-back",
    what="The functions that tell the time are an hour behind from a step on.",
    layers=("live", "outside"),
    named=(Named(code=r"(live|witness)\..*", pattern=r"time|clock"),),
    draw=_draw,
    script={
        "batch": """\
if step == AT:
    acted()
    _right, _right_ns = time.time, time.time_ns
    time.time = lambda: _right() - SECONDS
    time.time_ns = lambda: _right_ns() - SECONDS * 10**9
""",
    },
)
