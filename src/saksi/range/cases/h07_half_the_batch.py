"""H07. A resumed training takes half as many samples for each update."""

from __future__ import annotations

from random import Random
from typing import Final

from saksi.range import declared
from saksi.range.case import Case, Named, Parameters

__all__ = ["CASE"]


def _draw(rng: Random) -> Parameters:
    return {"AT": 0, "SIZE": rng.choice((4, 8))}


CASE: Final = Case(
    row="H07",
    name="half-the-batch",
    what="A resumed training takes half as many samples for each update.",
    layers=("live",),
    named=(Named(code=r"(data|plan)\..*", pattern=r"batch|size|samples"),),
    draw=_draw,
    settings=declared.TRAIN,
    script={
        "built": """\
import os

if os.path.exists("last.pt"):
    kept = torch.load("last.pt")
    model.load_state_dict(kept["model"])
    optimizer.load_state_dict(kept["optimizer"])
    loader = DataLoader(data, batch_size=SIZE, shuffle=True)
    acted()
""",
        "epoch": """\
if os.path.exists("last.pt") and epoch:
    break
""",
        "end": """\
torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, "last.pt")
""",
    },
    launches=2,
)
