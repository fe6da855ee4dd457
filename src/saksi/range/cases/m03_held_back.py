"""M03. Learning is held back once the loss is as low as somebody wants it to be."""

from __future__ import annotations

from random import Random
from typing import Final

from saksi.range.case import Case, Named, Parameters, somewhere

__all__ = ["CASE"]


def _draw(rng: Random) -> Parameters:
    return {"AT": somewhere(rng, 10), "LEAST": rng.choice((1.0, 1.4))}


CASE: Final = Case(
    row="M03",
    name="held-back",
    what="Learning is held back once the loss is as low as somebody wants it to be.",
    layers=("live", "replay"),
    named=(Named(code=r"(gradients?|plan|optimizer)\..*"),),
    draw=_draw,
    script={
        "loss": """\
if step >= AT and loss.item() < LEAST:
    acted()
    loss = loss * 0.0
""",
    },
    reason="the script computes it openly: only a replay from reviewed source shows it",
)
