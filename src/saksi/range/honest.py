"""The honest variants: programs that do nothing but train, in ways that may look like sabotage.

What five of them do cannot be told from an act of sabotage. These are played twice: as they are, and declared, where a
project's settings say what the program does and at which steps, and an approver signed that.
"""

from __future__ import annotations

from typing import Final

import msgspec

from saksi.range import declared
from saksi.range.case import Variant

__all__ = ["ALL"]

_OPTIMIZERS: Final = (
    "sgd", "momentum", "nesterov", "adam", "adamw", "foreach", "fused", "amsgrad", "maximize", "adagrad", "rmsprop",
    "nadam", "radam", "adamax", "lbfgs", "tensor-rate",
)  # fmt: skip
_PATTERNS: Final = (
    "average-swapped", "weights-clipped", "pruned", "pruned-by-hand", "target-network", "two-optimizers", "scheduled",
    "warm-restarts", "loaded-again", "stopped-early", "accumulated", "norm-clipped", "scaler-skips", "autocast",
    "bfloat16-weights", "own-hooks", "thawed", "group-added", "threads-changed", "loss-decides", "evaluated-between",
    "workers", "tied-weights", "decay-by-hand", "seeded-each-epoch", "warmed-by-hand", "own-patch", "generators",
    "not-a-number",
)  # fmt: skip
_RECIPES: Final = (
    "mixed-up", "cut-and-mixed", "smoothed-on-schedule", "noisy-gradients", "sharpness-aware", "looked-ahead",
    "averaged-at-the-end", "one-cycle", "rates-by-layer", "frozen-in-turn", "easy-ones-first", "computed-twice",
    "spectral-norms", "weight-norms", "clipped-by-value", "clipped-by-layer", "layers-left-out", "distilled",
    "adversaries", "values-learned", "rounded-weights", "profiled", "compiled", "zeros-kept", "evaluated-alike",
    "augmented-later", "batch-grows", "closures",
)  # fmt: skip
_AVERAGES: Final = (
    "average-of-a-model", "average-by-hand", "average-of-half", "average-in-half", "average-now-and-then",
    "average-of-micro-batches", "average-in-a-hook", "target-within", "best-is-kept", "schedules-of-many-kinds",
)  # fmt: skip
_RESTARTS: Final = ("rate-looked-for", "best-put-back", "state-of-another-run")
_RESUMED: Final = ("optimizer-forgotten", "seeded-anew")

_DECLARED: Final = {
    "pruned-by-hand": """
[[expect]]
code = "state.changed_between_steps"
subject = "parameters of optimizer 0"
steps = 21
why = "The smallest weights are set to zero once, behind update 20."
""",
    "decay-by-hand": """
[[expect]]
code = "plan.hyper_parameter_changed"
subject = "weight_decay of optimizer 0, group 0"
steps = 20
why = "Weight decay is switched off for the second half."
""",
    "seeded-each-epoch": """
[[expect]]
code = "randomness.state_repeated"
subject = "torch"
steps = "10-39"
why = "Each epoch of ten updates begins with the same seed."
""",
    "looked-ahead": """
[[expect]]
code = "state.changed_between_steps"
subject = "parameters of optimizer 0"
steps = "5-55"
every = 5
why = "The weights go back to slow ones after every fifth update."
""",
    "rate-looked-for": """
[[expect]]
code = "state.changed_between_steps"
subject = "* of optimizer 0"
steps = 20
why = "Weights and moments are put back once a rate was found, behind update 19."
""",
}

_SHIPPED: Final = (
    Variant(name="plain", program="train.py", arguments=()),
    Variant(name="tracked", program="tracked.py", arguments=()),
    Variant(name="small-units", program="units.py", arguments=()),
    Variant(name="ranks", program="ranks.py", arguments=()),
    *(Variant(name=each, program="optimizers.py", arguments=(each,)) for each in _OPTIMIZERS),
    *(Variant(name=each, program="patterns.py", arguments=(each,)) for each in _PATTERNS),
    Variant(name="raises", program="patterns.py", arguments=("raises",), ends=(1,)),
    Variant(name="plain-planned", program="train.py", arguments=(), settings=declared.TRAIN),
    *(
        Variant(name=f"{name}-planned", program="patterns.py", arguments=(name,), settings=settings)
        for name, settings in declared.PATTERNS.items()
    ),
    Variant(name="resumed", program="patterns.py", arguments=("resumed",), launches=2),
    Variant(name="recipe", program="recipe.py", arguments=()),
    Variant(name="tracked-planned", program="tracked.py", arguments=(), settings=declared.TRACKED),
    Variant(name="recipe-planned", program="recipe.py", arguments=(), settings=declared.RECIPE),
    *(Variant(name=each, program="recipes.py", arguments=(each,)) for each in _RECIPES),
    *(Variant(name=each, program="averages.py", arguments=(each,)) for each in _AVERAGES),
    *(Variant(name=each, program="restarts.py", arguments=(each,)) for each in _RESTARTS),
    *(Variant(name=each, program="restarts.py", arguments=(each,), launches=2) for each in _RESUMED),
    Variant(name="went-down", program="restarts.py", arguments=("went-down",), ends=(0, 1), launches=2),
    Variant(name="elastic", program="elastic.py", arguments=(), launches=2),
)

ALL: Final[tuple[Variant, ...]] = (
    *_SHIPPED,
    *(
        msgspec.structs.replace(each, name=f"{each.name}-declared", settings=_DECLARED[each.name])
        for each in _SHIPPED
        if each.name in _DECLARED
    ),
)
