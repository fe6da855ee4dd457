"""Which rule is whose: by the class whose `step` it is. What all have in common stands in `arithmetic`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from saksi.judgement.updates.adam import adam, adamw
from saksi.judgement.updates.adaptive import adagrad, nadam, radam, rmsprop
from saksi.judgement.updates.arithmetic import NoRule
from saksi.judgement.updates.half import HALF_FORMATS, HALF_RULES
from saksi.judgement.updates.precision import PRECISIONS, Precision
from saksi.judgement.updates.sgd import sgd
from saksi.judgement.updates.values import Around, Expected

__all__ = ["RULES", "NoRule", "Recompute", "Rule", "rule_of"]

Rule = Callable[[Around, Mapping[str, Any], Precision], Expected]
Recompute = Callable[[Around, Mapping[str, Any]], Expected]

RULES: Final[dict[str, Rule]] = {
    "torch.optim.adagrad.Adagrad": adagrad,
    "torch.optim.adam.Adam": adam,
    "torch.optim.adamw.AdamW": adamw,
    "torch.optim.nadam.NAdam": nadam,
    "torch.optim.radam.RAdam": radam,
    "torch.optim.rmsprop.RMSprop": rmsprop,
    "torch.optim.sgd.SGD": sgd,
}
"""Foreach and fused kernels compute the same up to rounding."""


def rule_of(name: str, dtype: str) -> Recompute | None:
    """What recomputes the updates of the class `name` for parameters of `dtype`; `None` if nothing does.

    It raises `NoRule`, and `ArithmeticError` or `ValueError` for numbers beyond all bounds.
    """
    rule, precision = RULES.get(name), PRECISIONS.get(dtype)
    if rule is not None and precision is not None:
        return lambda around, hyper: rule(around, hyper, precision)
    half_rule, half = HALF_RULES.get(name), HALF_FORMATS.get(dtype)
    if half_rule is not None and half is not None:
        return lambda around, hyper: half_rule(around, hyper, half)
    return None
