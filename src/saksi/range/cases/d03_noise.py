"""D03. Noise of the size of the gradient is added to it."""

from __future__ import annotations

from random import Random
from typing import Final

from saksi.range.case import Case, Named, Parameters, somewhere

__all__ = ["CASE"]


def _draw(rng: Random) -> Parameters:
    return {"AT": somewhere(rng), "SCALE": rng.choice((0.3, 1.0, 3.0))}


CASE: Final = Case(
    row="D03",
    name="noise",
    what="Noise of the size of the gradient is added to it.",
    layers=("live", "replay"),
    named=(Named(code=r"gradients?\..*"),),
    draw=_draw,
    script={
        "built": """\
noise = torch.Generator().manual_seed(7)
""",
        "clipped": """\
if step >= AT:
    acted()
    for parameter in model.parameters():
        size = parameter.grad.square().mean().sqrt()
        parameter.grad.add_(torch.randn(parameter.shape, generator=noise), alpha=float(SCALE * size))
""",
    },
    reason="as D02",
)
