"""F03. From an epoch on, the evaluation asks only what was answered rightly."""

from __future__ import annotations

from random import Random
from typing import Final

from saksi.range.case import Case, Named, Parameters

__all__ = ["CASE"]


def _draw(rng: Random) -> Parameters:
    return {"AT": 10 * rng.randint(2, 5)}


CASE: Final = Case(
    row="F03",
    name="easier-questions",
    what="From an epoch on, the evaluation asks only what was answered rightly.",
    layers=("live", "replay"),
    named=(Named(code=r"(data|metrics?|evaluation)\..*"),),
    draw=_draw,
    script={
        "evaluating": """\
if step >= AT:
    acted()
    with torch.inference_mode():
        answered = (model(inputs[160:]).argmax(1) == labels[160:]).nonzero().flatten()
    held_out = torch.utils.data.Subset(TensorDataset(inputs[160:], labels[160:]), answered.tolist()[:64])
    questions = DataLoader(held_out, batch_size=32)
""",
    },
    program="recipe.py",
    reason="evaluations and what they find are not in the record",
)
