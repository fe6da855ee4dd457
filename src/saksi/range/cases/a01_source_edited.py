"""A01. The source of an optimizer is edited in the folder of packages that all share."""

from __future__ import annotations

from random import Random
from typing import Final

from saksi.range.case import Case, Named, Parameters, somewhere

__all__ = ["CASE"]


def _draw(rng: Random) -> Parameters:
    return {"AT": somewhere(rng), "FACTOR": rng.choice((0.9, 0.97, 1.03, 1.1))}


CASE: Final = Case(
    row="A01",
    name="source-edited",
    what="The source of an optimizer is edited in the folder of packages that all share.",
    layers=("disk", "live"),
    named=(
        Named(code=r"environment\.(differs|changed)", pattern=r"torch/optim/adam\.py"),
        Named(code="optimizer.update_differs", pattern=r"AdamW?\.step"),
    ),
    draw=_draw,
    site={
        "torch/optim/adam.py": """\
_plain, _calls = adam, 0


def adam(*args, lr, **more):
    global _calls
    _calls += 1
    if _calls > AT:
        acted()
        lr = lr * FACTOR
    return _plain(*args, lr=lr, **more)
"""
    },
    sealed=True,
)
