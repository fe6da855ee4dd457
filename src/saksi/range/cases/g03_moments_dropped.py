"""G03. The optimizer's state is lost between saving and loading."""

from __future__ import annotations

from random import Random
from typing import Final

from saksi.range.case import Case, Named, Parameters, somewhere

__all__ = ["CASE"]


def _draw(rng: Random) -> Parameters:
    return {"AT": somewhere(rng)}


CASE: Final = Case(
    row="G03",
    name="moments-dropped",
    what="The optimizer's state is lost between saving and loading.",
    layers=("live",),
    named=(Named(code=r"ckpt\.state_differs"),),
    draw=_draw,
    script={
        "updated": """\
if step == AT:
    acted()
    torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, "ckpt.pt")
    kept = torch.load("ckpt.pt")
    for state in kept["optimizer"]["state"].values():
        state["exp_avg"].zero_()
        state["exp_avg_sq"].zero_()
    optimizer.load_state_dict(kept["optimizer"])
""",
    },
    delay=1,
)
