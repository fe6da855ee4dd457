"""G04. What is saved lacks the generator and the place in the data: a resumed training begins its epoch again."""

from __future__ import annotations

from random import Random
from typing import Final

from saksi.range import declared
from saksi.range.case import Case, Named, Parameters

__all__ = ["CASE"]


def _draw(rng: Random) -> Parameters:
    return {"AT": 0, "LEFT": rng.randint(5, 15)}


CASE: Final = Case(
    row="G04",
    name="place-forgotten",
    what="What is saved lacks the generator and the place in the data: a resumed training begins its epoch again.",
    layers=("live",),
    named=(Named(code=r"(data.epoch_repeated|ckpt\.(?!not_checkable).*)"),),
    draw=_draw,
    settings=declared.TRAIN,
    script={
        "built": """\
import os

if os.path.exists("last.pt"):
    kept = torch.load("last.pt")
    model.load_state_dict(kept["model"])
    optimizer.load_state_dict(kept["optimizer"])
    schedule.load_state_dict(kept["schedule"])
    acted()
""",
        "updated": """\
if step == 59 - LEFT and not os.path.exists("last.pt"):
    states = {"model": model, "optimizer": optimizer, "schedule": schedule}
    torch.save({name: each.state_dict() for name, each in states.items()}, "last.pt")
    raise SystemExit(0)
""",
    },
    launches=2,
    reason="a whole epoch that comes again is told as info: a script that seeds as it starts does the same",
)
