"""J05. The hooks by which steps are heard of are taken away."""

from __future__ import annotations

from random import Random
from typing import Final

from saksi.range.case import Case, Named, Parameters, somewhere

__all__ = ["CASE"]


def _draw(rng: Random) -> Parameters:
    return {"AT": somewhere(rng)}


CASE: Final = Case(
    row="J05",
    name="hooks-cleared",
    what="The hooks by which steps are heard of are taken away.",
    layers=("live", "outside"),
    named=(Named(code=r"witness\.hooks_cleared"),),
    draw=_draw,
    script={
        "batch": """\
if step == AT:
    acted()
    from torch.optim import optimizer as optimizers

    for hooks in (optimizers._global_optimizer_pre_hooks, optimizers._global_optimizer_post_hooks):
        hooks.clear()
    optimizer._optimizer_step_pre_hooks.clear()
    optimizer._optimizer_step_post_hooks.clear()
""",
    },
)
