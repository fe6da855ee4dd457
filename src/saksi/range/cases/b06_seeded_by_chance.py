"""B06. Torch is seeded from the system's chance at each step, so that nothing can be repeated."""

from __future__ import annotations

from random import Random
from typing import Final

from saksi.range.case import Case, Named, Parameters, somewhere

__all__ = ["CASE"]


def _draw(rng: Random) -> Parameters:
    return {"AT": somewhere(rng)}


CASE: Final = Case(
    row="B06",
    name="seeded-by-chance",
    what="Torch is seeded from the system's chance at each step, so that nothing can be repeated.",
    layers=("live", "replay"),
    named=(
        Named(code=r"(randomness|rehearsal)\..*"),
        Named(code=r"replay\.mismatch", pattern=r"randomness .*\btorch\b"),
    ),
    draw=_draw,
    script={
        "batch": """\
if step >= AT:
    acted()
    torch.seed()
""",
    },
    reason="as B04; that a generator was seeded is an event of the record, and no finding",
)
