"""A12. A hook of all modules changes what layers return."""

from __future__ import annotations

from random import Random
from typing import Final

from saksi.range.case import Case, Named, Parameters, somewhere

__all__ = ["CASE"]


def _draw(rng: Random) -> Parameters:
    return {"AT": somewhere(rng), "FACTOR": rng.choice((0.98, 1.02))}


CASE: Final = Case(
    row="A12",
    name="module-hook",
    what="A hook of all modules changes what layers return.",
    layers=("live", "replay"),
    named=(Named(code=r"live.hook_added", pattern=r"seen"),),
    draw=_draw,
    script={
        "batch": """\
if step == AT:

    def seen(module, inputs, output):
        acted()
        return output * FACTOR

    nn.modules.module.register_module_forward_hook(seen)
""",
    },
)
