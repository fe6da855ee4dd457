"""D05. One tensor's gradient is zero now and then. Held to the plan of its program."""

from __future__ import annotations

from random import Random
from typing import Final

from saksi.range import declared
from saksi.range.case import TENSORS, Case, Named, Parameters, somewhere

__all__ = ["CASE"]


def _draw(rng: Random) -> Parameters:
    return {"AT": somewhere(rng), "TENSOR": rng.choice(TENSORS), "EVERY": rng.randint(2, 4)}


CASE: Final = Case(
    row="D05",
    name="layer-zeroed",
    what="One tensor's gradient is zero now and then.",
    layers=("live", "replay"),
    named=(Named(code=r"gradients?\..*", pattern=r"{TENSOR}"),),
    draw=_draw,
    settings=declared.TRAIN,
    script={
        "clipped": """\
if step >= AT and (step - AT) % EVERY == 0:
    acted()
    dict(model.named_parameters())[TENSOR].grad.zero_()
""",
    },
)
