"""J07. Standard error leads nowhere from a step on, and warnings are filtered."""

from __future__ import annotations

from random import Random
from typing import Final

from saksi.range.case import Case, Named, Parameters, somewhere

__all__ = ["CASE"]


def _draw(rng: Random) -> Parameters:
    return {"AT": somewhere(rng)}


CASE: Final = Case(
    row="J07",
    name="silenced",
    what="Standard error leads nowhere from a step on, and warnings are filtered.",
    layers=("live", "outside"),
    named=(Named(code=r"live\.stream_changed", pattern=r"stderr"),),
    draw=_draw,
    script={
        "batch": """\
if step == AT:
    import os
    import sys
    import warnings

    acted()
    warnings.simplefilter("ignore")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    sys.stderr = open(os.devnull, "w")
""",
    },
)
