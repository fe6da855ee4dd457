"""A05. A start-up file changes the rate that the optimizer applies, from a step on."""

from __future__ import annotations

from random import Random
from typing import Final

from saksi.range.case import Case, Named, Parameters, somewhere
from saksi.range.compose import STARTUP

__all__ = ["CASE"]


def _draw(rng: Random) -> Parameters:
    return {"AT": somewhere(rng), "FACTOR": rng.choice((0.9, 0.97, 1.03, 1.1))}


CASE: Final = Case(
    row="A05",
    name="startup-file",
    what="A start-up file changes the rate that the optimizer applies, from a step on.",
    layers=("disk", "live"),
    named=(
        Named(code=r"optimizer.update_differs", pattern=r"AdamW?\.step"),
        Named(code=r"live.code_replaced", pattern=r"sitecustomize"),
    ),
    draw=_draw,
    files={
        STARTUP: """\
from torch.optim import adam

original, calls = adam.adam, 0


def quietly(*args, lr, **more):
    global calls
    calls += 1
    if calls <= AT:
        return original(*args, lr=lr, **more)
    acted()
    return original(*args, lr=lr * FACTOR, **more)


adam.adam = quietly
""",
    },
)
