"""A16. The flag that holds torch to deterministic algorithms is taken back from a step on."""

from __future__ import annotations

from random import Random
from typing import Final

from saksi.range.case import Case, Named, Parameters, somewhere

__all__ = ["CASE"]


def _draw(rng: Random) -> Parameters:
    return {"AT": somewhere(rng)}


CASE: Final = Case(
    row="A16",
    name="determinism-off",
    what="The flag that holds torch to deterministic algorithms is taken back from a step on.",
    layers=("live",),
    named=(Named(code=r"live.flag_changed", pattern=r"determinis"),),
    draw=_draw,
    script={
        "built": """\
torch.use_deterministic_algorithms(True)
""",
        "batch": """\
if step == AT:
    torch.use_deterministic_algorithms(False)
    acted()
""",
    },
)
