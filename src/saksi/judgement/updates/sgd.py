"""The rule of stochastic gradient descent.

Follows `_single_tensor_sgd` of torch 2.4 to 2.13. Source: Sutskever et al. 2013 (momentum, Nesterov's form).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from saksi.judgement.updates.arithmetic import Sums, number, refuse
from saksi.judgement.updates.precision import Precision
from saksi.judgement.updates.values import Around, Expected

__all__ = ["sgd"]


def sgd(around: Around, hyper: Mapping[str, Any], precision: Precision) -> Expected:
    """`torch.optim.SGD`: weight decay, momentum, dampening, nesterov, maximize. Raises `NoRule`."""
    refuse(hyper, "differentiable")
    lr, decay = number(hyper, "lr"), number(hyper, "weight_decay", 0.0)
    momentum, dampening = number(hyper, "momentum", 0.0), number(hyper, "dampening", 0.0)
    sign = -1.0 if hyper.get("maximize") else 1.0
    nesterov = bool(hyper.get("nesterov"))
    buffers = around.before.get("momentum_buffer", ())
    parameter, buffer = Sums(precision), Sums(precision)
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
