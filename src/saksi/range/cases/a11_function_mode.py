"""A11. A function mode scales what a function of torch returns."""

from __future__ import annotations

from random import Random
from typing import Final

from saksi.range.case import Case, Named, Parameters, somewhere

__all__ = ["CASE"]


def _draw(rng: Random) -> Parameters:
    return {"AT": somewhere(rng), "FACTOR": rng.choice((0.95, 1.02))}


CASE: Final = Case(
    row="A11",
    name="function-mode",
    what="A function mode scales what a function of torch returns.",
    layers=("live", "replay"),
    named=(Named(code=r"live.mode_entered", pattern=r"Scaling"),),
    draw=_draw,
    script={
        "batch": """\
if step == AT:
    from torch.overrides import TorchFunctionMode

    class Scaling(TorchFunctionMode):
        def __torch_function__(self, function, types, args=(), kwargs=None):
            made = function(*args, **(kwargs or {}))
            return made * FACTOR if function is nn.functional.linear else made

    Scaling().__enter__()
    acted()
""",
    },
)
