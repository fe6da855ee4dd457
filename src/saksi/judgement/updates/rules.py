"""Which rule is whose: by the class whose `step` it is. What all have in common stands in `arithmetic`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from saksi.judgement.updates.adam import adam, adamw
from saksi.judgement.updates.adaptive import adagrad, nadam, radam, rmsprop
from saksi.judgement.updates.arithmetic import NoRule
from saksi.judgement.updates.precision import Precision
from saksi.judgement.updates.sgd import sgd
from saksi.judgement.updates.values import Around, Expected

__all__ = ["RULES", "NoRule", "Rule"]

Rule = Callable[[Around, Mapping[str, Any], Precision], Expected]

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
