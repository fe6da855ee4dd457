"""The rules of torch's optimizers, element by element, in float64.

Each follows the `_single_tensor_*` function of its module in torch (2.4 to 2.13); foreach and fused kernels compute the
same up to rounding. Sources: Sutskever et al. 2013 (momentum), Kingma and Ba 2015 (Adam), Reddi et al. 2018 (AMSGrad),
Loshchilov and Hutter 2019 (AdamW).

A tolerance grows with the terms that were added up, not with their sum: where they nearly cancel, rounding is all that
is left. Known weakness: a change below it is not seen.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Final

from saksi.judgement.updates.precision import Precision
from saksi.judgement.updates.values import Around, Expected, Numbers, Quantity

__all__ = ["RULES", "NoRule", "Rule"]

Rule = Callable[[Around, Mapping[str, Any], Precision], Expected]
ROUNDINGS: Final = 16.0
"""Roundings of terms that one result may have in it."""
ULPS: Final = 4.0


class NoRule(Exception):
    """These hyper-parameters or samples are none that the rule knows; the text says which."""


def _number(hyper: Mapping[str, Any], name: str, default: float | None = None) -> float:
    value = hyper.get(name, default)
    if isinstance(value, bool | int | float) and math.isfinite(value):
        return float(value)
    raise NoRule(f"{name} is {value!r}"[:200])


def _refuse(hyper: Mapping[str, Any], *names: str) -> None:
    for name in names:
        if hyper.get(name):
            raise NoRule(f"{name} is set")


def _whole(around: Around, name: str) -> float:
    """A state with one number for the whole tensor; 0 before it was made."""
    found = around.before.get(name, ())
    return found[0] if found else 0.0


def _state(around: Around, name: str) -> Numbers:
    found = around.before.get(name, ())
    return found or [0.0] * len(around.parameter)


class _Sums:
    """A quantity as it is worked out: value, what the step adds, and the size of what was added up."""

    def __init__(self, precision: Precision) -> None:
        self._precision = precision
        self.values: list[float] = []
        self.change: list[float] = []
        self.tolerance: list[float] = []

    def add(self, before: float, value: float, change: float, terms: float) -> None:
        precision = self._precision
        self.values.append(value)
        self.change.append(change)
        largest = max(abs(before), abs(value))
        self.tolerance.append(
            ULPS * precision.spacing(largest)
            + ROUNDINGS * precision.epsilon * terms
            + precision.slack * abs(change)
            + precision.smallest
        )

    def done(self) -> Quantity:
        return Quantity(values=self.values, change=self.change, tolerance=self.tolerance)


def sgd(around: Around, hyper: Mapping[str, Any], precision: Precision) -> Expected:
    """`torch.optim.SGD`: weight decay, momentum, dampening, nesterov, maximize. Raises `NoRule`."""
    _refuse(hyper, "differentiable")
    lr, decay = _number(hyper, "lr"), _number(hyper, "weight_decay", 0.0)
    momentum, dampening = _number(hyper, "momentum", 0.0), _number(hyper, "dampening", 0.0)
    sign = -1.0 if hyper.get("maximize") else 1.0
    nesterov = bool(hyper.get("nesterov"))
    buffers = around.before.get("momentum_buffer", ())
    parameter, buffer = _Sums(precision), _Sums(precision)
    for at, (p, raw) in enumerate(zip(around.parameter, around.gradient, strict=True)):
        g = sign * raw + decay * p
        terms = abs(raw) + abs(decay * p)
        if momentum:
            old = buffers[at] if buffers else None
            new = g if old is None else momentum * old + (1.0 - dampening) * g
            kept = terms if old is None else abs(momentum * old) + abs(1.0 - dampening) * terms
            buffer.add(old or 0.0, new, new - (old or 0.0), kept)
            g, terms = (g + momentum * new, terms + abs(momentum) * kept) if nesterov else (new, kept)
        parameter.add(p, p - lr * g, -lr * g, abs(lr) * terms)
    return Expected(parameter=parameter.done(), state={"momentum_buffer": buffer.done()} if momentum else {})


def _adam(around: Around, hyper: Mapping[str, Any], precision: Precision, *, decoupled: bool) -> Expected:
    _refuse(hyper, "capturable", "differentiable")
    lr, eps, decay = _number(hyper, "lr"), _number(hyper, "eps"), _number(hyper, "weight_decay", 0.0)
    betas = hyper.get("betas")
    if not isinstance(betas, list) or len(betas) != 2:  # noqa: PLR2004 - first and second moment
        raise NoRule("betas are not two numbers")
    beta1, beta2 = (_number({"betas": each}, "betas") for each in betas)
    sign = -1.0 if hyper.get("maximize") else 1.0
    step = _whole(around, "step") + 1.0
    correction1, correction2 = 1.0 - beta1**step, math.sqrt(1.0 - beta2**step)
    if not correction1 or not correction2:
        raise NoRule("the bias correction is 0")
    largest = _state(around, "max_exp_avg_sq") if hyper.get("amsgrad") else None
    firsts, seconds = _state(around, "exp_avg"), _state(around, "exp_avg_sq")
    parameter, first, second, most = (_Sums(precision) for _ in range(4))
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
            bound = max(largest[at], v)
            most.add(largest[at], bound, (1.0 - beta2) * g * g, of_v)
            v = bound
        below = math.sqrt(v) / correction2 + eps if v >= 0.0 else math.nan
        size = abs(lr) / correction1 / below if below else math.inf
        change = -math.copysign(size, lr) * m if m else 0.0
        parameter.add(p, shrunk + change, shrunk - p + change, size * of_m + abs(p - shrunk))
    state = {"exp_avg": first.done(), "exp_avg_sq": second.done(), "step": _counted(step)}
    if largest is not None:
        state["max_exp_avg_sq"] = most.done()
    return Expected(parameter=parameter.done(), state=state)


def adam(around: Around, hyper: Mapping[str, Any], precision: Precision) -> Expected:
    """`torch.optim.Adam`, with `decoupled_weight_decay` as its group says. Raises `NoRule`."""
    return _adam(around, hyper, precision, decoupled=bool(hyper.get("decoupled_weight_decay")))


def adamw(around: Around, hyper: Mapping[str, Any], precision: Precision) -> Expected:
    """`torch.optim.AdamW`. Raises `NoRule`."""
    return _adam(around, hyper, precision, decoupled=True)


def _counted(step: float) -> Quantity:
    """A counter is exact."""
    return Quantity(values=[step], change=[1.0], tolerance=[0.0])


RULES: Final[dict[str, Rule]] = {
    "torch.optim.sgd.SGD": sgd,
    "torch.optim.adam.Adam": adam,
    "torch.optim.adamw.AdamW": adamw,
}
"""By the class whose `step` it is."""
