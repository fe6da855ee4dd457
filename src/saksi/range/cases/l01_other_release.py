"""L01. Another release of a shared module, from elsewhere, stands under its name."""

from __future__ import annotations

from random import Random
from typing import Final

from saksi.range.case import Case, Named, Parameters

__all__ = ["CASE"]


def _draw(rng: Random) -> Parameters:
    return {"FACTOR": rng.choice((0.9, 1.05, 1.2))}


CASE: Final = Case(
    row="L01",
    name="other-release",
    what="Another release of a shared module, from elsewhere, stands under its name.",
    layers=("disk",),
    named=(Named(code=r"seal.differs|environment.differs", pattern=r"ours"),),
    draw=_draw,
    files={
        "packages/ours.py": """\
def standardized(values):
    acted()
    return (values - values.mean(0)) / values.std(0) * FACTOR
""",
        "packages/ours-99.0.dist-info/METADATA": """\
Metadata-Version: 2.1
Name: ours
Version: 99.0
""",
    },
    first=None,
    sealed=True,
)
