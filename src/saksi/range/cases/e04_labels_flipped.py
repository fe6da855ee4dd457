"""E04. Labels of one class become those of another, in the data in memory."""

from __future__ import annotations

from random import Random
from typing import Final

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
    script={
        "updated": """\
if step == AT:
    acted()
    labels[labels == FROM] = TO
""",
    },
    reason="under a shuffle no batch comes twice, so that none has stood still before it changes",
    delay=1,
)
