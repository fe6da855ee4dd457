"""A08. The schedule object gets a step of its own, which stands still now and then."""

from __future__ import annotations

from random import Random
from typing import Final

from saksi.range.case import Case, Named, Parameters, somewhere

__all__ = ["CASE"]


def _draw(rng: Random) -> Parameters:
    return {"AT": somewhere(rng), "EVERY": rng.randint(2, 4)}


CASE: Final = Case(
    row="A08",
    name="schedule-wrapped",
    what="The schedule object gets a step of its own, which stands still now and then.",
    layers=("live",),
    named=(Named(code=r"live.instance_patched", pattern=r"step"),),
    draw=_draw,
    script={
        "batch": """\
if step == AT:

    def now_and_then(*args):
        if step % EVERY:
            return type(schedule).step(schedule, *args)
        acted()

    schedule.step = now_and_then
""",
    },
)
