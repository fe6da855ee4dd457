"""G11. A tensor that a model checkpoint lacks is made anew without a word as it is loaded."""

from __future__ import annotations

from random import Random
from typing import Final

from saksi.range.case import Case, Named, Parameters, somewhere

__all__ = ["CASE"]


def _draw(rng: Random) -> Parameters:
    return {"AT": somewhere(rng), "LAYER": rng.choice((0, 4))}


CASE: Final = Case(
    row="G11",
    name="loaded-in-part",
    what="A tensor that a model checkpoint lacks is made anew without a word as it is loaded.",
    layers=("live",),
    named=(Named(code=r"(ckpt|state)\.(?!not_checkable).*"),),
    draw=_draw,
    script={
        "updated": """\
if step == AT:
    acted()
    torch.save({name.replace(f"{LAYER}.", "layer."): each for name, each in model.state_dict().items()}, "ckpt.pt")
    model[LAYER].reset_parameters()
    model.load_state_dict(torch.load("ckpt.pt"), strict=False)
""",
    },
    delay=1,
    reason="state that changes as a model checkpoint is loaded is told as info: loading one changes it honestly",
)
