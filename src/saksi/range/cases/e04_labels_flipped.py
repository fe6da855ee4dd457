"""E04. Labels of one class become those of another, in the data in memory. Held to the plan of its program."""

from __future__ import annotations

from random import Random
from typing import Final

from saksi.range import declared
from saksi.range.case import Case, Named, Parameters, somewhere

__all__ = ["CASE"]


def _draw(rng: Random) -> Parameters:
    return {"AT": somewhere(rng), "FROM": rng.randrange(2), "TO": rng.randint(2, 4)}


CASE: Final = Case(
    row="E04",
    name="labels-flipped",
    what="Labels of one class become those of another, in the data in memory.",
    layers=("live", "replay"),
    named=(Named(code=r"data\..*"),),
    draw=_draw,
    settings=declared.TRAIN,
    script={
        "updated": """\
if step == AT:
    acted()
    labels[labels == FROM] = TO
""",
    },
    delay=1,
)
