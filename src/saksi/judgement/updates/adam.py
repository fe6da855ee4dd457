"""The rules of Adam and of AdamW.

They follow `_single_tensor_adam` of torch 2.4 to 2.13. Sources: Kingma and Ba 2015 (Adam), Reddi et al. 2018 (AMSGrad),
Loshchilov and Hutter 2019 (AdamW).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from saksi.judgement.updates.arithmetic import NoRule, Sums, counted, next_step, number, pair, refuse, state_of
from saksi.judgement.updates.precision import Precision
from saksi.judgement.updates.values import Around, Expected

__all__ = ["adam", "adamw"]


def _adam(around: Around, hyper: Mapping[str, Any], precision: Precision, *, decoupled: bool) -> Expected:
    refuse(hyper, "capturable", "differentiable")
    lr, eps, decay = number(hyper, "lr"), number(hyper, "eps"), number(hyper, "weight_decay", 0.0)
    beta1, beta2 = pair(hyper, "betas")
    sign = -1.0 if hyper.get("maximize") else 1.0
    step = next_step(around)
    correction1, correction2 = 1.0 - beta1**step, math.sqrt(1.0 - beta2**step)
    if not correction1 or not correction2:
        raise NoRule("the bias correction is 0")
    largest = state_of(around, "max_exp_avg_sq") if hyper.get("amsgrad") else None
    firsts, seconds = state_of(around, "exp_avg"), state_of(around, "exp_avg_sq")
    parameter, first, second, most = (Sums(precision) for _ in range(4))
    for at, (p, raw) in enumerate(zip(around.parameter, around.gradient, strict=True)):
        g, terms, shrunk = sign * raw, abs(raw), p
        if decoupled:
            shrunk = p * (1.0 - lr * decay)
        else:
            g, terms = g + decay * p, terms + abs(decay * p)
        m = firsts[at] + (1.0 - beta1) * (g - firsts[at])
        of_m = abs(firsts[at]) + (1.0 - beta1) * terms
        v = beta2 * seconds[at] + (1.0 - beta2) * g * g
        of_v = beta2 * abs(seconds[at]) + (1.0 - beta2) * terms * terms
        first.add(firsts[at], m, m - firsts[at], of_m)
        second.add(seconds[at], v, (1.0 - beta2) * g * g, of_v)
        if largest is not None:
            bound = max(largest[at], v) if largest[at] == largest[at] and v == v else math.nan  # noqa: PLR0124
            most.add(largest[at], bound, (1.0 - beta2) * g * g, of_v)
            v = bound
        below = math.sqrt(v) / correction2 + eps if v >= 0.0 else math.nan
        size = abs(lr) / correction1 / below if below else math.inf
        change = -math.copysign(size, lr) * m if m else 0.0
        parameter.add(p, shrunk + change, shrunk - p + change, size * of_m + abs(p - shrunk))
    state = {"exp_avg": first.done(), "exp_avg_sq": second.done(), "step": counted(step)}
    if largest is not None:
        state["max_exp_avg_sq"] = most.done()
    return Expected(parameter=parameter.done(), state=state)


def adam(around: Around, hyper: Mapping[str, Any], precision: Precision) -> Expected:
    """`torch.optim.Adam`, with `decoupled_weight_decay` as its group says. Raises `NoRule`."""
    return _adam(around, hyper, precision, decoupled=bool(hyper.get("decoupled_weight_decay")))


def adamw(around: Around, hyper: Mapping[str, Any], precision: Precision) -> Expected:
    """`torch.optim.AdamW`. Raises `NoRule`."""
    return _adam(around, hyper, precision, decoupled=True)
