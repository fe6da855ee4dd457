"""C04. Weight decay is given to the group of biases and norms, which had none."""

from __future__ import annotations

from random import Random
from typing import Final

from saksi.range.case import Case, Named, Parameters, somewhere

__all__ = ["CASE"]


def _draw(rng: Random) -> Parameters:
    return {"AT": somewhere(rng), "DECAY": rng.choice((0.01, 0.1))}


CASE: Final = Case(
    row="C04",
    name="decay-on-norms",
    what="Weight decay is given to the group of biases and norms, which had none.",
    layers=("live",),
    named=(Named(code=r"plan.hyper_parameter_changed", pattern=r"weight_decay"),),
    draw=_draw,
    script={
        "built": """\
optimizer.param_groups[0]["params"] = [each for each in model.parameters() if each.ndim > 1]
others = [each for each in model.parameters() if each.ndim == 1]
optimizer.add_param_group({"params": others, "weight_decay": 0.0})
schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 120)
""",
        "gradients": """\
if step == AT:
    acted()
    optimizer.param_groups[1]["weight_decay"] = DECAY
""",
    },
)
