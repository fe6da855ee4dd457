"""A09. A default of clipping is another: gradients are measured in another norm."""

from __future__ import annotations

from random import Random
from typing import Final

from saksi.range.case import Case, Named, Parameters, somewhere

__all__ = ["CASE"]


def _draw(rng: Random) -> Parameters:
    return {"AT": somewhere(rng), "NORM": rng.choice((1.0, 3.0))}


CASE: Final = Case(
    row="A09",
    name="default-changed",
    what="A default of clipping is another: gradients are measured in another norm.",
    layers=("live",),
    named=(Named(code=r"live.default_changed", pattern=r"clip_grad_norm_"),),
    draw=_draw,
    script={
        "batch": """\
if step == AT:
    import inspect

    clip = inspect.unwrap(nn.utils.clip_grad_norm_)
    clip.__defaults__ = (NORM, *clip.__defaults__[1:])
    acted()
""",
    },
)
