"""A06. A package has torch load it as it is imported, and puts a hook behind every optimizer."""

from __future__ import annotations

from random import Random
from typing import Final

from saksi.range.case import Case, Named, Parameters, somewhere

__all__ = ["CASE"]


def _draw(rng: Random) -> Parameters:
    return {"AT": somewhere(rng), "FACTOR": rng.choice((0.999, 1.001))}


CASE: Final = Case(
    row="A06",
    name="entry-point",
    what="A package has torch load it as it is imported, and puts a hook behind every optimizer.",
    layers=("disk", "live"),
    named=(
        Named(code=r"optimizer.update_differs", pattern=r"AdamW?\.step"),
        Named(code=r"live.hook_added", pattern=r"helpful"),
    ),
    draw=_draw,
    files={
        "packages/helpful.py": """\
updates = 0


def load():
    import torch
    from torch.optim.optimizer import register_optimizer_step_post_hook

    def behind(optimizer, args, kwargs):
        global updates
        if updates >= AT:
            acted()
            with torch.no_grad():
                for parameter in optimizer.param_groups[0]["params"]:
                    parameter.mul_(FACTOR)
        updates += 1

    register_optimizer_step_post_hook(behind)
""",
        "packages/helpful-1.0.dist-info/METADATA": """\
Metadata-Version: 2.1
Name: helpful
Version: 1.0
""",
        "packages/helpful-1.0.dist-info/entry_points.txt": """\
[torch.backends]
helpful = helpful:load
""",
    },
)
