"""A11. A dispatch mode scales one operator."""

from __future__ import annotations

from random import Random
from typing import Final

from saksi.range.case import Case, Named, Parameters, somewhere

__all__ = ["CASE"]


def _draw(rng: Random) -> Parameters:
    return {"AT": somewhere(rng), "FACTOR": rng.choice((0.95, 1.02))}


CASE: Final = Case(
    row="A11",
    name="dispatch-mode",
    what="A dispatch mode scales one operator.",
    layers=("live", "replay"),
    named=(Named(code=r"live.mode_entered", pattern=r"Scaling"),),
    draw=_draw,
    script={
        "batch": """\
if step == AT:
    from torch.utils._python_dispatch import TorchDispatchMode

    class Scaling(TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            made = function(*args, **(kwargs or {}))
            return made * FACTOR if function is torch.ops.aten.tanh_backward.default else made

    Scaling().__enter__()
    acted()
""",
    },
)
