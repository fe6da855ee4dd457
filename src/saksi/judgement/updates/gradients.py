"""What became of a gradient between the backward that finished it and the optimizer that read it.

Clipping by the norm and unscaling multiply all of it by one positive number, clipping by value cuts what is large;
clipping of each layer or row, and freezing by zeroing, make parts of it smaller. Anything else changed it.

Rules: elements that were not finite as the backward left them are not compared, since programs replace those.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, Literal

import msgspec

__all__ = ["Became", "Kind", "Pair", "became"]

Kind = Literal["same", "scaled", "clamped", "uneven", "reversed", "changed"]
EPSILON: Final = {
    "torch.float32": 2.0**-23,
    "torch.float64": 2.0**-23,
    "torch.float16": 2.0**-10,
    "torch.bfloat16": 2.0**-7,
}
"""The spacing of numbers at 1. Factors are often kept in float32, also where gradients are float64."""
TINY: Final = {
    "torch.float32": 2.0**-126,
    "torch.float64": 2.0**-126,
    "torch.float16": 2.0**-24,
    "torch.bfloat16": 2.0**-126,
}
"""What is smaller may have been flushed to zero on the way."""
MAX_FACTORS: Final = 8
"""That are tried to tell which tensors were changed, beside the clipping of all."""
MAX_TRIED: Final = 2_048
"""Elements that they are tried on."""
ROUNDINGS: Final = 4.0
"""Spacings that a factor, and several multiplications with parts of it, leave."""


class Pair(msgspec.Struct, frozen=True):
    """Elements of one tensor's gradient, as the backward left them and as they were read."""

    name: str
    finished: Sequence[float]
    read: Sequence[float]


class Became(msgspec.Struct, frozen=True, kw_only=True):
    """What all of it became; `factor` where one number explains it, and no other would; `names`: the tensors."""

    kind: Kind
    factor: float | None = None
    names: tuple[str, ...] = ()
    of: int = 0
    """Elements that were compared, and how many are not as they were."""
    bad: int = 0


def became(pairs: Sequence[Pair], dtype: str) -> Became:
    """The least that explains how the gradients of an Update were changed. `dtype` is one of those in `EPSILON`."""
    epsilon, tiny = ROUNDINGS * EPSILON[dtype], TINY[dtype]
    compared = [
        (pair.name, f, r) for pair in pairs for f, r in zip(pair.finished, pair.read, strict=True) if math.isfinite(f)
    ]
    if all(f == r for _, f, r in compared):
        return Became(kind="same", factor=1.0 if any(f for _, f, _ in compared) else None, of=len(compared))
    kind, factor = _explained([(f, r) for _, f, r in compared], epsilon, tiny)
    bad = [name for name, f, r in compared if f != r]
    if kind in {"uneven", "changed"}:
        most = _most(compared, epsilon, tiny)
        bad = [name for name, f, r in compared if not _is_near(most * f, r, epsilon, tiny)]
    return Became(kind=kind, factor=factor, names=tuple(dict.fromkeys(bad)), of=len(compared), bad=len(bad))


def _most(compared: list[tuple[str, float, float]], epsilon: float, tiny: float) -> float:
    """The positive factor of one tensor's largest element that explains the most elements; 1 if none explains any.

    Clipping and unscaling come on top of whatever else became of some tensors, and say nothing of them.
    """
    tensors: dict[str, list[tuple[float, float]]] = {}
    for name, f, r in compared:
        tensors.setdefault(name, []).append((f, r))
    factors = dict.fromkeys([1.0, *(_factor(values) for values in list(tensors.values())[:MAX_FACTORS])])
    return max(
        (each for each in factors if each > 0),
        key=lambda each: sum(_is_near(each * f, r, epsilon, tiny) for _, f, r in compared[:MAX_TRIED] if f),
    )


def _explained(values: list[tuple[float, float]], epsilon: float, tiny: float) -> tuple[Kind, float | None]:
    if not all(math.isfinite(r) for _, r in values):
        return "changed", None
    for factor in (_factor(values), 1.0):  # of gradients that are all but zero, the first is any number
        if factor and all(_is_near(factor * f, r, epsilon, tiny) for f, r in values):
            return ("scaled" if factor > 0 else "reversed"), factor
    if _is_clamped(values, epsilon, tiny):
        return "clamped", None
    if all(f * r > 0 or abs(r) <= tiny or abs(f) <= tiny for f, r in values):
        return "uneven", None
    return "changed", None


def _factor(values: list[tuple[float, float]]) -> float:
    """By what the largest element was multiplied; 0 if nothing can be said of it."""
    finished, read = max(values, key=lambda each: abs(each[0]), default=(0.0, 0.0))
    return read / finished if finished and math.isfinite(read / finished) else 0.0


def _is_near(expected: float, seen: float, epsilon: float, tiny: float) -> bool:
    return abs(seen - expected) <= epsilon * abs(expected) + tiny


def _is_clamped(values: list[tuple[float, float]], epsilon: float, tiny: float) -> bool:
    """Whether what lies within one bound was multiplied by one number, and what would lie beyond it is at it."""
    bound = max(abs(r) for _, r in values)
    inside = [(f, r) for f, r in values if abs(r) < bound]
    telling = any(f for f, _ in inside)  # zeros tell no factor
    factor = _factor(inside) if telling else 1.0
    if not bound or factor <= 0 or not all(_is_near(factor * f, r, epsilon, tiny) for f, r in inside):
        return False
    at_it = [(f, r) for f, r in values if abs(r) == bound]
    return all(f * r > 0 and (not telling or abs(factor * f) >= bound * (1 - epsilon)) for f, r in at_it)
