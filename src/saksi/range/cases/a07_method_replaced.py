"""A07. A method of torch's classes is replaced while it trains."""

from __future__ import annotations

from random import Random
from typing import Final

from saksi.range.case import Case, Named, Parameters, somewhere

__all__ = ["CASE"]


def _draw(rng: Random) -> Parameters:
    return {"AT": somewhere(rng), "FACTOR": rng.choice((0.98, 1.01, 1.05))}


CASE: Final = Case(
    row="A07",
    name="method-replaced",
    what="A method of torch's classes is replaced while it trains.",
    layers=("live",),
    named=(Named(code=r"live.code_replaced", pattern=r"Linear\.forward"),),
    draw=_draw,
    script={
        "batch": """\
if step == AT:

    def forward(self, values):
        return nn.functional.linear(values, self.weight, self.bias) * FACTOR

    nn.Linear.forward = forward
    acted()
""",
    },
)
