"""A07. The code of a function of torch is exchanged in place while it trains."""

from __future__ import annotations

from random import Random
from typing import Final

from saksi.range.case import Case, Named, Parameters, somewhere

__all__ = ["CASE"]


def _draw(rng: Random) -> Parameters:
    return {"AT": somewhere(rng), "FACTOR": rng.choice((0.5, 0.9, 1.1))}


CASE: Final = Case(
    row="A07",
    name="code-swapped",
    what="The code of a function of torch is exchanged in place while it trains.",
    layers=("live",),
    named=(Named(code=r"live.code_(replaced|differs)", pattern=r"cross_entropy"),),
    draw=_draw,
    script={
        "batch": """\
if step == AT:

    def swapped(
        input,
        target,
        weight=None,
        size_average=None,
        ignore_index=-100,
        reduce=None,
        reduction="mean",
        label_smoothing=0.0,
    ):
        return torch._C._nn.cross_entropy_loss(input, target, weight, 1, ignore_index, label_smoothing) * _factor

    nn.functional._factor = FACTOR
    nn.functional.cross_entropy.__code__ = swapped.__code__
    acted()
""",
    },
)
