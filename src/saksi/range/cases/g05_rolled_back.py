"""G05. An older model checkpoint is put in the place of the last one."""

from __future__ import annotations

from random import Random
from typing import Final

from saksi.range.case import Case, Named, Parameters, somewhere

__all__ = ["CASE"]


def _draw(rng: Random) -> Parameters:
    return {"AT": somewhere(rng), "BACK": rng.randint(2, 5)}


CASE: Final = Case(
    row="G05",
    name="rolled-back",
    what="An older model checkpoint is put in the place of the last one.",
    layers=("live", "outside"),
    named=(Named(code=r"ckpt\.rolled_back"),),
    draw=_draw,
    script={
        "updated": """\
if step == AT - BACK:
    torch.save(model.state_dict(), "old.pt")
if step == AT:
    import os

    torch.save(model.state_dict(), "last.pt")
    os.replace("old.pt", "last.pt")
    model.load_state_dict(torch.load("last.pt"))
    acted()
""",
    },
    delay=1,
)
