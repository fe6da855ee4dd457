"""B04. Random numbers are drawn and thrown away, so that nothing can be repeated."""

from __future__ import annotations

from random import Random
from typing import Final

from saksi.range.case import Case, Named, Parameters, somewhere

__all__ = ["CASE"]


def _draw(rng: Random) -> Parameters:
    return {"AT": somewhere(rng), "COUNT": rng.randint(1, 9)}


CASE: Final = Case(
    row="B04",
    name="extra-draws",
    what="Random numbers are drawn and thrown away, so that nothing can be repeated.",
    layers=("live", "replay"),
    named=(Named(code=r"rehearsal.rng_differs"),),
    draw=_draw,
    script={
        "batch": """\
if step >= AT:
    acted()
    torch.rand(COUNT)
""",
    },
    reason="beyond the rehearsed steps nothing says which numbers are due; replay does",
)
