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
    named=(Named(code=r"availability\..*", pattern=r"slow|long|said nothing"),),
    draw=_draw,
    script={
        "batch": """\
if step >= AT and (step - AT) % EVERY == 0:
    acted()
    time.sleep(SLEEP)
""",
    },
    reason="silences are told from a length on that no sleep here reaches, and as info; slow phases are not judged yet",
)
