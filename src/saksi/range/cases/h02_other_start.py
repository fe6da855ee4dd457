"""H02. One rank begins with other weights, as nobody handed out those of the first."""

from __future__ import annotations

from random import Random
from typing import Final

from saksi.range.case import Case, Named, Parameters

__all__ = ["CASE"]


def _draw(rng: Random) -> Parameters:
    return {"AT": 0, "SEED": rng.randrange(2**31)}


CASE: Final = Case(
    row="H02",
    name="other-start",
    what="One rank begins with other weights, as nobody handed out those of the first.",
    layers=("live",),
    named=(Named(code=r"agreement.replicas_differ"),),
    draw=_draw,
    script={
        "built": """\
if rank == 1:
    acted()
    torch.manual_seed(SEED)
    for layer in (model[0], model[2]):
        layer.reset_parameters()
""",
    },
    program="ranks.py",
)
