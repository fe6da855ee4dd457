"""The honest variants: programs that do nothing but train, in ways that may look like sabotage."""

from __future__ import annotations

from typing import Final

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

ALL: Final[tuple[Variant, ...]] = (
    Variant(name="plain", program="train.py", arguments=()),
    Variant(name="tracked", program="tracked.py", arguments=()),
    Variant(name="ranks", program="ranks.py", arguments=()),
    *(Variant(name=each, program="optimizers.py", arguments=(each,)) for each in _OPTIMIZERS),
    *(Variant(name=each, program="patterns.py", arguments=(each,)) for each in _PATTERNS),
    Variant(name="raises", program="patterns.py", arguments=("raises",), ends=(1,)),
    Variant(name="resumed", program="patterns.py", arguments=("resumed",), launches=2),
)
