"""A plan, as it travels with a seal and a seal file. The format is `spec/seal.md`.

Rules: one form, so tables are sorted and the curve's points are in order; numbers are finite; what a plan does not say
is null or empty, and nothing is held to it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import pairwise
from typing import Annotated, Final, Literal, TypeAlias

import msgspec
from msgspec import Meta

__all__ = [
    "LR_SCALE",
    "MAX_GROUPS",
    "MAX_PATTERNS",
    "MAX_POINTS",
    "MAX_RATE",
    "MAX_REPORTED",
    "MAX_SECONDS",
    "MAX_STEP",
    "MAX_VALUES",
    "Between",
    "Plan",
    "Value",
]

MAX_POINTS: Final = 64
"""Of a learning rate's curve: warm-up, decay and a few restarts have some ten."""
MAX_GROUPS: Final = 1_024
"""Groups with values of their own: decay by layer makes two for each layer."""
MAX_VALUES: Final = 64
"""Hyper-parameters in one table; torch's optimizers have about fifteen."""
MAX_STEP: Final = 2**53
"""Beyond it a step has no float of its own."""
MAX_RATE: Final = 1e100
"""Of a learning rate or a scale, and one over it is the least scale: the curve must not overflow."""
MAX_PATTERNS: Final = 256
"""Names and patterns of parameters that are trained: a line for each of a model's parts."""
MAX_REPORTED: Final = 16
"""Metrics that are the loss; a program has one tracker, or a few."""
MAX_SECONDS: Final = 1e9
"""Of an update: thirty years, and in nanoseconds still a number of the format."""
LR_SCALE: Final = "lr_scale"
"""In a group's table: by what the planned learning rate is multiplied for this group."""

Between: TypeAlias = Literal["linear", "cosine", "hold"]
Step = Annotated[int, Meta(ge=0, le=MAX_STEP)]
Text = Annotated[str, Meta(max_length=256)]
Number: TypeAlias = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)] | float
Value: TypeAlias = bool | Number | Text | Annotated[tuple[Number, ...], Meta(max_length=8)] | None
"""A hyper-parameter as frames spell it: `betas` is a list of numbers."""
Pattern = Annotated[str, Meta(min_length=1, max_length=256)]
Values: TypeAlias = Annotated[dict[Text, Value], Meta(max_length=MAX_VALUES)]


class Plan(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """What is declared of optimizer 0. `hyper_parameters` hold for every group, `groups` for one each, by place.

    `lr` are points of the learning rate's curve, with `between` them; before the first, which is at step `warm_up`, it
    rises in a straight line from `warm_up_from`; behind the last it stays. `accumulation` is how many backwards each
    Update has, `trained` which parameters have a gradient at each, by patterns of names, `longest_update` how many
    seconds one may take, `reported` which metrics of trackers are its loss; earlier versions knew none of these.
    """

    optimizer: Text | None
    steps: Annotated[int, Meta(ge=1, le=MAX_STEP)] | None
    lr: Annotated[tuple[tuple[Step, float], ...], Meta(max_length=MAX_POINTS)]
    between: Between
    warm_up: Step
    warm_up_from: float
    max_norm: float | None
    hyper_parameters: Values
    groups: Annotated[tuple[Values, ...], Meta(max_length=MAX_GROUPS)]
    accumulation: Annotated[int, Meta(ge=1, le=MAX_STEP)] | msgspec.UnsetType = msgspec.UNSET
    trained: Annotated[tuple[Pattern, ...], Meta(min_length=1, max_length=MAX_PATTERNS)] | msgspec.UnsetType = (
        msgspec.UNSET
    )
    longest_update: float | msgspec.UnsetType = msgspec.UNSET
    reported: Annotated[tuple[Pattern, ...], Meta(min_length=1, max_length=MAX_REPORTED)] | msgspec.UnsetType = (
        msgspec.UNSET
    )

    def __post_init__(self) -> None:
        _require_curve(self)
        if self.max_norm is not None and not (self.max_norm > 0 and math.isfinite(self.max_norm)):
            raise ValueError("maxNorm is not a number above 0")
        if isinstance(self.longest_update, float) and not 0 < self.longest_update <= MAX_SECONDS:
            raise ValueError("longestUpdate is not a number of seconds above 0")
        for table in (self.hyper_parameters, *self.groups):
            _require_table(table)
        if LR_SCALE in self.hyper_parameters:
            raise ValueError("lr_scale belongs to a group")
        for each in self.groups:
            scale = each.get(LR_SCALE, 1.0)
            if isinstance(scale, bool) or not isinstance(scale, int | float) or not 1 / MAX_RATE <= scale <= MAX_RATE:
                raise ValueError("lr_scale is not a number above 0")


def _require_curve(plan: Plan) -> None:
    steps, rates = [step for step, _ in plan.lr], [rate for _, rate in plan.lr]
    if any(not 0 <= rate <= MAX_RATE for rate in (*rates, plan.warm_up_from)):
        raise ValueError("a learning rate that is negative, too large or no number")
    if any(not first < second for first, second in pairwise(steps)):
        raise ValueError("points of lr whose steps do not rise")
    if steps and steps[0] != plan.warm_up:
        raise ValueError("the first point of lr is not at the end of the warm-up")
    if (not steps and plan.warm_up) or (not plan.warm_up and plan.warm_up_from):
        raise ValueError("a warm-up without a learning rate, or of no steps")


def _require_table(table: dict[str, Value]) -> None:
    if list(table) != sorted(table):
        raise ValueError("a table whose names are not sorted")
    if "lr" in table:
        raise ValueError("lr is no hyper-parameter of a table: it has a curve of its own")
    if any(isinstance(each, float) and not math.isfinite(each) for value in table.values() for each in _parts(value)):
        raise ValueError("a value that is no finite number")


def _parts(value: Value) -> Iterable[object]:
    return value if isinstance(value, tuple) else (value,)
