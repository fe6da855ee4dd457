"""The rules of Adagrad, RMSprop, NAdam and RAdam.

They follow the `_single_tensor_*` functions of torch 2.4 to 2.13. Sources: Duchi et al. 2011 (Adagrad), Hinton 2012
(RMSprop), Dozat 2016 (NAdam), Liu et al. 2020 (RAdam).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

from saksi.judgement.updates.arithmetic import NoRule, Sums, counted, next_step, number, pair, refuse, state_of, whole
from saksi.judgement.updates.precision import Precision
from saksi.judgement.updates.values import Around, Expected, Quantity

__all__ = ["adagrad", "nadam", "radam", "rmsprop"]

RECTIFIED_FROM: Final = 5.0
"""The length of the averaged window from which RAdam divides by the second moment."""


def adagrad(around: Around, hyper: Mapping[str, Any], precision: Precision) -> Expected:
    """`torch.optim.Adagrad`: weight decay, decay of the learning rate, maximize. Raises `NoRule`."""
    refuse(hyper, "differentiable")
    lr, eps, decay = number(hyper, "lr"), number(hyper, "eps"), number(hyper, "weight_decay", 0.0)
    step = next_step(around)
    rate = lr / (1.0 + (step - 1.0) * number(hyper, "lr_decay", 0.0))
    sign, sums = _sign(hyper), state_of(around, "sum")
    parameter, total = Sums(precision), Sums(precision)
    for at, (p, raw) in enumerate(zip(around.parameter, around.gradient, strict=True)):
        g, terms = sign * raw + decay * p, abs(raw) + abs(decay * p)
        found = sums[at] + g * g
        total.add(sums[at], found, g * g, abs(sums[at]) + terms * terms)
        size = abs(rate) / _below(found, eps)
        parameter.add(p, p - math.copysign(size, rate) * g, -math.copysign(size, rate) * g, size * terms)
    return Expected(parameter=parameter.done(), state={"sum": total.done(), "step": counted(step)})


def rmsprop(around: Around, hyper: Mapping[str, Any], precision: Precision) -> Expected:
    """`torch.optim.RMSprop`: weight decay, momentum, maximize; not centered. Raises `NoRule`."""
    refuse(hyper, "capturable", "differentiable", "centered")
    lr, eps, decay = number(hyper, "lr"), number(hyper, "eps"), number(hyper, "weight_decay", 0.0)
    alpha, momentum = number(hyper, "alpha"), number(hyper, "momentum", 0.0)
    sign, squares, buffers = _sign(hyper), state_of(around, "square_avg"), state_of(around, "momentum_buffer")
    parameter, square, buffer = (Sums(precision) for _ in range(3))
    for at, (p, raw) in enumerate(zip(around.parameter, around.gradient, strict=True)):
        g, terms = sign * raw + decay * p, abs(raw) + abs(decay * p)
        v = alpha * squares[at] + (1.0 - alpha) * g * g
        square.add(squares[at], v, (1.0 - alpha) * g * g, alpha * abs(squares[at]) + (1.0 - alpha) * terms * terms)
        below = _below(v, eps)
        moved, size = g / below, terms / below
        if momentum:
            moved += momentum * buffers[at]
            size += abs(momentum * buffers[at])
            buffer.add(buffers[at], moved, moved - buffers[at], size)
        parameter.add(p, p - lr * moved, -lr * moved, abs(lr) * size)
    state = {"square_avg": square.done(), "step": counted(next_step(around))}
    if momentum:
        state["momentum_buffer"] = buffer.done()
    return Expected(parameter=parameter.done(), state=state)


class _Moments:
    """First and second moment of one tensor after the step, and its parameter as weight decay left it."""

    def __init__(self, around: Around, hyper: Mapping[str, Any], precision: Precision) -> None:
        refuse(hyper, "capturable", "differentiable")
        self.lr, self.eps = number(hyper, "lr"), number(hyper, "eps")
        self.beta1, self.beta2 = pair(hyper, "betas")
        self.step = next_step(around)
        decay, decoupled, sign = (
            number(hyper, "weight_decay", 0.0),
            bool(hyper.get("decoupled_weight_decay")),
            _sign(hyper),
        )
        self.shrunk: list[float] = []
        self.gradients: list[tuple[float, float]] = []
        self.firsts: list[tuple[float, float]] = []
        self.seconds: list[float] = []
        firsts, seconds = state_of(around, "exp_avg"), state_of(around, "exp_avg_sq")
        self._first, self._second = Sums(precision), Sums(precision)
        for at, (p, raw) in enumerate(zip(around.parameter, around.gradient, strict=True)):
            g, terms = sign * raw, abs(raw)
            if not decoupled:
                g, terms = g + decay * p, terms + abs(decay * p)
            self.shrunk.append(p * (1.0 - self.lr * decay) if decoupled else p)
            m = firsts[at] + (1.0 - self.beta1) * (g - firsts[at])
            of_m = abs(firsts[at]) + (1.0 - self.beta1) * terms
            v = self.beta2 * seconds[at] + (1.0 - self.beta2) * g * g
            of_v = self.beta2 * abs(seconds[at]) + (1.0 - self.beta2) * terms * terms
            self._first.add(firsts[at], m, m - firsts[at], of_m)
            self._second.add(seconds[at], v, (1.0 - self.beta2) * g * g, of_v)
            self.gradients.append((g, terms))
            self.firsts.append((m, of_m))
            self.seconds.append(v)

    def state(self) -> dict[str, Quantity]:
        """What both kinds keep."""
        return {"exp_avg": self._first.done(), "exp_avg_sq": self._second.done(), "step": counted(self.step)}


def nadam(around: Around, hyper: Mapping[str, Any], precision: Precision) -> Expected:
    """`torch.optim.NAdam`: weight decay, decoupled or not, maximize. Raises `NoRule`."""
    moments = _Moments(around, hyper, precision)
    lr, step, slowing = moments.lr, moments.step, number(hyper, "momentum_decay")
    correction = 1.0 - moments.beta2**step
    now, following = (moments.beta1 * (1.0 - 0.5 * 0.96 ** (at * slowing)) for at in (step, step + 1.0))
    product = whole(around, "mu_product", 1.0) * now
    if not correction or product == 1.0 or product * following == 1.0:
        raise NoRule("a bias correction is 0")
    of_gradient, of_first = lr * (1.0 - now) / (1.0 - product), lr * following / (1.0 - product * following)
    parameter = Sums(precision)
    for at, p in enumerate(around.parameter):
        below = _below(moments.seconds[at] / correction, moments.eps)
        (g, of_g), (m, of_m) = moments.gradients[at], moments.firsts[at]
        change = -(of_gradient * g + of_first * m) / below
        size = (abs(of_gradient) * of_g + abs(of_first) * of_m) / below
        shrunk = moments.shrunk[at]
        parameter.add(p, shrunk + change, shrunk - p + change, size + abs(p - shrunk))
    state = moments.state() | {"mu_product": counted(product, 8.0 * precision.spacing(product))}
    return Expected(parameter=parameter.done(), state=state)


def radam(around: Around, hyper: Mapping[str, Any], precision: Precision) -> Expected:
    """`torch.optim.RAdam`: weight decay, decoupled or not, maximize. Raises `NoRule`."""
    moments = _Moments(around, hyper, precision)
    step, beta2 = moments.step, moments.beta2
    correction1, correction2 = 1.0 - moments.beta1**step, 1.0 - beta2**step
    if not correction1 or not correction2 or beta2 == 1.0:
        raise NoRule("a bias correction is 0")
    longest = 2.0 / (1.0 - beta2) - 1.0
    length = longest - 2.0 * step * beta2**step / correction2
    rectified = None
    if length > RECTIFIED_FROM:
        shares = (length - 4.0) * (length - 2.0) * longest / ((longest - 4.0) * (longest - 2.0) * length)
        rectified = math.sqrt(shares) * math.sqrt(correction2)
    parameter = Sums(precision)
    for at, p in enumerate(around.parameter):
        m, of_m = moments.firsts[at]
        size = moments.lr / correction1
        if rectified is not None:
            size *= rectified / _below(moments.seconds[at], moments.eps)
        shrunk = moments.shrunk[at]
        parameter.add(p, shrunk - size * m, shrunk - p - size * m, abs(size) * of_m + abs(p - shrunk))
    return Expected(parameter=parameter.done(), state=moments.state())


def _sign(hyper: Mapping[str, Any]) -> float:
    return -1.0 if hyper.get("maximize") else 1.0


def _below(second: float, eps: float) -> float:
    """What an update is divided by. Not a number where the second moment is none."""
    found = math.sqrt(second) + eps if second >= 0.0 else math.nan
    return found or math.nan
