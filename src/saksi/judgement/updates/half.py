"""The rules of SGD, Adam and AdamW in half precision: torch's kernels, operation by operation.

In bfloat16 and float16 rounding is larger than an update, so that no reference in a higher precision can judge it. Here
each operation of `_single_tensor_*` is worked out in float32 and rounded as torch rounds it. Some of its scalars are
rounded to half precision first: `alpha` of an addition, a number that is added, and in foreach kernels one that is
multiplied in place (measured, torch 2.13). A fused kernel keeps float32 between its loads and its stores. What comes
out is the same bits for nearly every element: only several that are not are told.

Sources: torch 2.4 to 2.13, `torch/optim/adam.py`, `torch/optim/sgd.py`, ATen's `FusedAdamKernel.cpp`.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from saksi.judgement.updates.arithmetic import NoRule, counted, next_step, number, pair, refuse
from saksi.judgement.updates.values import Around, Expected, Numbers, Quantity

__all__ = ["HALF_FORMATS", "HALF_RULES", "HalfRule"]

Round = Callable[[float], float]
_Element = tuple[float, float, float, float]
HalfRule = Callable[[Around, Mapping[str, Any], Round], Expected]

ULPS: Final = 4.0
"""How far the few elements may lie apart that are not the same bits."""
SMALLEST: Final = 2.0**-22
"""What differs below this is told by the bits alone: numbers of float16 lie that near to each other around 0."""

_FLOAT: Final = struct.Struct("<f")
_WORD: Final = struct.Struct("<I")
_HALF: Final = struct.Struct("<e")


def single(value: float) -> float:
    """`value` rounded to float32."""
    try:
        found: float = _FLOAT.unpack(_FLOAT.pack(value))[0]
    except OverflowError:
        return math.copysign(math.inf, value)
    return found


def bfloat16(value: float) -> float:
    """`value`, a float32, rounded to bfloat16: to nearest, ties to even."""
    if not math.isfinite(value):
        return value
    word: int = _WORD.unpack(_FLOAT.pack(single(value)))[0]
    word = (word + 0x7FFF + (word >> 16 & 1)) & 0xFFFF0000
    found: float = _FLOAT.unpack(_WORD.pack(word & 0xFFFFFFFF))[0]
    return found


def float16(value: float) -> float:
    """`value`, a float32, rounded to float16: to nearest, ties to even."""
    if not math.isfinite(value):
        return value
    try:
        found: float = _HALF.unpack(_HALF.pack(value))[0]
    except OverflowError:
        return math.copysign(math.inf, value)
    return found


HALF_FORMATS: Final[dict[str, Round]] = {"torch.bfloat16": bfloat16, "torch.float16": float16}


class _Bits:
    """A quantity of which every bit is known."""

    def __init__(self, before: Numbers, half: Round) -> None:
        self._before = before
        self._epsilon = 2.0 ** (-7 if half is bfloat16 else -10)
        self._values: list[float] = []

    def add(self, value: float) -> None:
        self._values.append(value)

    def done(self) -> Quantity:
        change = [after - before for before, after in zip(self._before, self._values, strict=True)]
        room = [ULPS * self._epsilon * abs(each) + SMALLEST for each in self._values]
        return Quantity(values=self._values, change=change, tolerance=room, to_the_bit=True)


def _states(around: Around, name: str) -> Numbers:
    return around.before.get(name) or [0.0] * len(around.parameter)


def _lerp(start: float, end: float, weight: float) -> float:
    """ATen's: from the nearer end, in float32, multiplied and added at once."""
    apart = single(end - start)
    if abs(weight) < 0.5:  # noqa: PLR2004 - the middle
        return single(start + weight * apart)
    return single(end - apart * single(1.0 - weight))


def sgd(around: Around, hyper: Mapping[str, Any], half: Round) -> Expected:
    """`torch.optim.SGD` in half precision. Raises `NoRule`."""
    refuse(hyper, "differentiable", "fused")
    lr, decay = number(hyper, "lr"), number(hyper, "weight_decay", 0.0)
    momentum, dampening = number(hyper, "momentum", 0.0), number(hyper, "dampening", 0.0)
    multiply, minus_lr = _multiplier(hyper, half), half(single(-lr))
    buffers = around.before.get("momentum_buffer", ())
    parameter, buffer = _Bits(around.parameter, half), _Bits(_states(around, "momentum_buffer"), half)
    for at, (p, raw) in enumerate(zip(around.parameter, around.gradient, strict=True)):
        g = -raw if hyper.get("maximize") else raw
        if decay:
            g = half(single(g + single(half(single(decay)) * p)))
        if momentum:
            kept = g
            if buffers:
                kept = half(single(buffers[at] * multiply(momentum)))
                kept = half(single(kept + single(half(single(1.0 - dampening)) * g)))
            buffer.add(kept)
            g = half(single(g + single(half(single(momentum)) * kept))) if hyper.get("nesterov") else kept
        parameter.add(half(single(p + single(minus_lr * g))))
    return Expected(parameter=parameter.done(), state={"momentum_buffer": buffer.done()} if momentum else {})


def _multiplier(hyper: Mapping[str, Any], half: Round) -> Round:
    """How a number is rounded by which a tensor is multiplied in place."""
    if hyper.get("foreach"):
        return lambda value: half(single(value))
    return single


class _Scalars(NamedTuple):
    """What Adam works out once for a tensor, in float64 as Python does."""

    lr: float
    beta1: float
    beta2: float
    eps: float
    decay: float
    step: float
    step_size: float
    root: float
    decoupled: bool
    multiply: Round


def _scalars(around: Around, hyper: Mapping[str, Any], half: Round, *, decoupled: bool) -> _Scalars:
    refuse(hyper, "capturable", "differentiable", "amsgrad")
    lr, (beta1, beta2) = number(hyper, "lr"), pair(hyper, "betas")
    step = next_step(around)
    correction1, correction2 = 1.0 - beta1**step, 1.0 - beta2**step
    if not correction1 or not correction2:
        raise NoRule("the bias correction is 0")
    return _Scalars(
        lr, beta1, beta2, number(hyper, "eps"), number(hyper, "weight_decay", 0.0), step, lr / correction1,
        math.sqrt(correction2), decoupled, _multiplier(hyper, half),
    )  # fmt: skip


def _adam(around: Around, hyper: Mapping[str, Any], half: Round, *, decoupled: bool) -> Expected:
    s = _scalars(around, hyper, half, decoupled=decoupled)
    update = _fused if hyper.get("fused") else _by_operation
    firsts, seconds = _states(around, "exp_avg"), _states(around, "exp_avg_sq")
    parameter, first, second = (_Bits(each, half) for each in (around.parameter, firsts, seconds))
    for p, raw, m, v in zip(around.parameter, around.gradient, firsts, seconds, strict=True):
        g = -raw if hyper.get("maximize") else raw
        for quantity, value in zip((parameter, first, second), update((p, g, m, v), s, half), strict=True):
            quantity.add(value)
    state = {"exp_avg": first.done(), "exp_avg_sq": second.done(), "step": counted(s.step)}
    return Expected(parameter=parameter.done(), state=state)


def _by_operation(element: _Element, s: _Scalars, half: Round) -> tuple[float, float, float]:
    """Parameter and moments of one element, where each operation is stored in half precision."""
    p, g, m, v = element
    if s.decay and s.decoupled:
        p = half(single(p * s.multiply(1.0 - s.lr * s.decay)))
    elif s.decay:
        g = half(single(g + single(half(single(s.decay)) * p)))
    m = half(_lerp(m, g, single(1.0 - s.beta1)))
    v = half(single(v * s.multiply(s.beta2)))
    v = half(single(v + single(single(single(1.0 - s.beta2) * g) * g)))
    below = half(single(math.sqrt(v)) if v >= 0.0 else math.nan)
    below = half(single(below / single(s.root)))
    below = half(single(below + half(single(s.eps))))
    return half(_moved(p, single(-s.step_size), m, below)), m, v


def _fused(element: _Element, s: _Scalars, half: Round) -> tuple[float, float, float]:
    """The same, where all is in float32 between load and store."""
    p, g, m, v = element
    if s.decay and s.decoupled:
        p = single(p * single(1.0 - s.lr * s.decay))
    elif s.decay:
        g = single(g + single(p * single(s.decay)))
    m = _lerp(m, g, single(1.0 - s.beta1))
    v = single(single(v * single(s.beta2)) + single(single(single(1.0 - s.beta2) * g) * g))
    below = single(single(single(math.sqrt(v)) / single(s.root)) + single(s.eps)) if v >= 0.0 else math.nan
    return half(_moved(p, single(-s.step_size), m, below)), half(m), half(v)


def _moved(p: float, by: float, m: float, below: float) -> float:
    moved = single(by * m)
    if below:
        return single(p + single(moved / below))
    return p + math.copysign(math.inf, moved) if moved else math.nan


def adam(around: Around, hyper: Mapping[str, Any], half: Round) -> Expected:
    """`torch.optim.Adam` in half precision. Raises `NoRule`."""
    return _adam(around, hyper, half, decoupled=bool(hyper.get("decoupled_weight_decay")))


def adamw(around: Around, hyper: Mapping[str, Any], half: Round) -> Expected:
    """`torch.optim.AdamW` in half precision. Raises `NoRule`."""
    return _adam(around, hyper, half, decoupled=True)


HALF_RULES: Final[dict[str, HalfRule]] = {
    "torch.optim.adam.Adam": adam,
    "torch.optim.adamw.AdamW": adamw,
    "torch.optim.sgd.SGD": sgd,
}
