"""A10. Another kernel is registered for an operator of the backward pass."""

from __future__ import annotations

from random import Random
from typing import Final

from saksi.range.case import Case, Named, Parameters, somewhere

__all__ = ["CASE"]


def _draw(rng: Random) -> Parameters:
    return {"AT": somewhere(rng), "FACTOR": rng.choice((0.9, 1.02, 1.1))}


CASE: Final = Case(
    row="A10",
    name="operator-override",
    what="Another kernel is registered for an operator of the backward pass.",
    layers=("live", "replay"),
    named=(Named(code=r"live.operator_overridden", pattern=r"tanh_backward"),),
    draw=_draw,
    script={
        "batch": """\
if step == AT:
    import warnings

    def backward(gradient, output):
        return gradient * (1 - output * output) * FACTOR

    warnings.simplefilter("ignore")
    library = torch.library.Library("aten", "IMPL")
    library.impl("tanh_backward", backward, "CPU")
    acted()
""",
    },
)
