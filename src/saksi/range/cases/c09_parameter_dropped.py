"""C09. A tensor is taken out of the optimizer's group. Held to the plan of its program."""

from __future__ import annotations

from random import Random
from typing import Final

from saksi.range import declared
from saksi.range.case import TENSORS, Case, Named, Parameters, somewhere

__all__ = ["CASE"]


def _draw(rng: Random) -> Parameters:
    return {"AT": somewhere(rng), "TENSOR": rng.choice(TENSORS)}


CASE: Final = Case(
    row="C09",
    name="parameter-dropped",
    what="A tensor is taken out of the optimizer's group.",
    layers=("live",),
    named=(Named(code=r"(optimizer|plan|state|coverage)\..*", pattern=r"{TENSOR}|no longer"),),
    draw=_draw,
    settings=declared.TRAIN,
    script={
        "gradients": """\
if step == AT:
    acted()
    dropped = dict(model.named_parameters())[TENSOR]
    group = optimizer.param_groups[0]
    group["params"] = [each for each in group["params"] if each is not dropped]
""",
    },
)
