"""D04. The loss leaves out a part of each batch."""

from __future__ import annotations

from random import Random
from typing import Final

from saksi.range.case import Case, Named, Parameters, somewhere

__all__ = ["CASE"]


def _draw(rng: Random) -> Parameters:
    return {"AT": somewhere(rng), "KEPT": rng.randint(6, 12)}


CASE: Final = Case(
    row="D04",
    name="samples-dropped",
    what="The loss leaves out a part of each batch.",
    layers=("live", "replay"),
    named=(Named(code=r"(gradients?|data|loss)\..*"),),
    draw=_draw,
    script={
        "loss": """\
if step >= AT:
    acted()
    loss = loss_of(model(x[:KEPT]), y[:KEPT])
""",
    },
    reason="what the loss is made of is not recorded; replay makes it again",
)
