"""B01. Every epoch begins with the same seed: the order of samples repeats."""

from __future__ import annotations

from random import Random
from typing import Final

from saksi.range.case import Case, Named, Parameters

__all__ = ["CASE"]


def _draw(rng: Random) -> Parameters:
    return {"AT": 20, "SEED": rng.randrange(2**31)}


CASE: Final = Case(
    row="B01",
    name="same-seed-each-epoch",
    what="Every epoch begins with the same seed: the order of samples repeats.",
    layers=("live",),
    named=(Named(code=r"randomness.state_repeated"),),
    draw=_draw,
    script={
        "epoch": """\
torch.manual_seed(SEED)
if epoch:
    acted()
""",
    },
)
