"""I02. Some steps sleep."""

from __future__ import annotations

from random import Random
from typing import Final

from saksi.range.case import Case, Named, Parameters, somewhere

__all__ = ["CASE"]


def _draw(rng: Random) -> Parameters:
    return {"AT": somewhere(rng), "SLEEP": rng.choice((0.2, 0.4)), "EVERY": rng.randint(4, 8)}


CASE: Final = Case(
    row="I02",
    name="slowed",
    what="Some steps sleep.",
    layers=("live", "outside"),
    named=(
        Named(code=r"availability\..*", pattern=r"slow|long|said nothing"),
        Named(code=r"dynamics\.(phase_slow|slowed|stalled)", pattern=r"compute|data and optimizer"),
    ),
    draw=_draw,
    script={
        "batch": """\
if step >= AT and (step - AT) % EVERY == 0:
    acted()
    time.sleep(SLEEP)
""",
    },
    reason="slow phases are told as info, where they cost a second in all: a loaded machine looks the same",
)
