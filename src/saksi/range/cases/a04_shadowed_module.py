"""A04. A module of the project is found before the shared one of that name."""

from __future__ import annotations

from random import Random
from typing import Final

from saksi.range.case import Case, Named, Parameters

__all__ = ["CASE"]


def _draw(rng: Random) -> Parameters:
    return {"FACTOR": rng.choice((0.9, 1.05, 1.2))}


CASE: Final = Case(
    row="A04",
    name="shadowed-module",
    what="A module of the project is found before the shared one of that name.",
    layers=("disk",),
    named=(
        Named(code=r"environment.import_shadowed", pattern=r"ours"),
        Named(code=r"seal.differs", pattern=r"ours.py"),
    ),
    draw=_draw,
    files={
        "ours.py": """\
def standardized(values):
    acted()
    return (values - values.mean(0)) / values.std(0) * FACTOR
""",
    },
    first=None,
    sealed=True,
)
