"""A12. A hook behind every optimizer's step edits parameters."""

from __future__ import annotations

from random import Random
from typing import Final

from saksi.range.case import Case, Named, Parameters, somewhere

__all__ = ["CASE"]


def _draw(rng: Random) -> Parameters:
    return {"AT": somewhere(rng), "FACTOR": rng.choice((0.999, 1.001))}


CASE: Final = Case(
    row="A12",
    name="optimizer-hook",
    what="A hook behind every optimizer's step edits parameters.",
    layers=("live",),
    named=(
        Named(code=r"optimizer.update_differs", pattern=r"AdamW?\.step"),
        Named(code=r"state.changed_between_steps"),
        Named(code=r"live.hook_added", pattern=r"drift"),
    ),
    draw=_draw,
    script={
        "batch": """\
if step == AT:
    from torch.optim.optimizer import register_optimizer_step_post_hook

    def drift(optimizer, args, kwargs):
        acted()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.mul_(FACTOR)

    register_optimizer_step_post_hook(drift)
""",
    },
)
