"""B03. Dropout leaves out the largest activations instead of random ones."""

from __future__ import annotations

from random import Random
from typing import Final

from saksi.range.case import Case, Named, Parameters, somewhere

__all__ = ["CASE"]


def _draw(rng: Random) -> Parameters:
    return {"AT": somewhere(rng), "SHARE": rng.choice((0.05, 0.1, 0.2))}


CASE: Final = Case(
    row="B03",
    name="biased-dropout",
    what="Dropout leaves out the largest activations instead of random ones.",
    layers=("live", "replay"),
    named=(Named(code=r"live.instance_patched", pattern=r"forward"),),
    draw=_draw,
    script={
        "built": """\
plain = model[3].forward


def biased(values):
    if step < AT:
        return plain(values)
    acted()
    return values.masked_fill(values >= values.quantile(1 - SHARE), 0.0)


model[3].forward = biased
""",
    },
    reason="what the script puts on its modules before the first update is told as info; the effect is for replay",
)
