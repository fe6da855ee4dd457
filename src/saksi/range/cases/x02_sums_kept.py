"""X02. Two weights of a tensor are exchanged, so that sums over the tensor stay what they were.

It knows that most fingerprints are sums, and that the one with a key covers an eighth of the tensors at each step.
"""

from __future__ import annotations

from random import Random
from typing import Final

from saksi.range.case import Case, Named, Parameters, somewhere

__all__ = ["CASE"]


def _draw(rng: Random) -> Parameters:
    return {"AT": somewhere(rng), "TENSOR": rng.choice(("0.weight", "4.weight")), "OTHER": rng.randint(1, 60)}


CASE: Final = Case(
    row="X02",
    name="sums-kept",
    what="Two weights of a tensor are exchanged, so that sums over the tensor stay what they were.",
    layers=("live", "replay"),
    named=(Named(code=r"state.changed_between_steps"),),
    draw=_draw,
    script={
        "updated": """\
if step == AT:
    acted()
    weights = dict(model.named_parameters())[TENSOR].data.view(-1)
    weights[[0, OTHER]] = weights[[OTHER, 0]]
""",
    },
    delay=1,
    reason="sums are blind to an exchange; the fingerprint with a key is of an eighth at each step, in turn",
)
