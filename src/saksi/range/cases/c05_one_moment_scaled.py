"""C05. The second moment of one tensor is scaled between two steps."""

from __future__ import annotations

from random import Random
from typing import Final

from saksi.range.case import TENSORS, Case, Named, Parameters, somewhere

__all__ = ["CASE"]


def _draw(rng: Random) -> Parameters:
    return {"AT": somewhere(rng), "TENSOR": rng.choice(TENSORS), "FACTOR": rng.choice((0.5, 1.5, 2.0))}


CASE: Final = Case(
    row="C05",
    name="one-moment-scaled",
    what="The second moment of one tensor is scaled between two steps.",
    layers=("live", "replay"),
    named=(Named(code=r"state.changed_between_steps"),),
    draw=_draw,
    script={
        "updated": """\
if step == AT:
    acted()
    optimizer.state[dict(model.named_parameters())[TENSOR]]["exp_avg_sq"].mul_(FACTOR)
""",
    },
    delay=1,
)
