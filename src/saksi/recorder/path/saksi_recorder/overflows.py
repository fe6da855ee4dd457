"""What a gradient scaler said of the gradients of an update that it left out, and what those gradients are.

Rules: a scaler of torch's own alone: others may join what several ranks say; gradients are looked at whole, but only
where an overflow is claimed, which is rare: as the scaler had looked at them if its flag stood then, so that nothing
that the program makes of them since matters; else as it left the update out. Nothing is asked of a device: of a flag or
of gradients that lie there nothing is known.
"""

from __future__ import annotations

import math
import weakref
from typing import Any, NamedTuple, Optional

import torch

from . import memory, optimizers, session
from .guard import guarded

SCALERS = frozenset("torch.%samp.grad_scaler.GradScaler" % kind for kind in ("", "cpu.", "cuda."))
_PLAIN = (torch.Tensor, torch.nn.Parameter)
_looks: Any = weakref.WeakKeyDictionary()


class Look(NamedTuple):
    """Whether the flag stood as the scaler had looked, and the gradients by then: how many there were of each kind."""

    flagged: Optional[bool]
    gradients: Optional[dict[str, int]]


@guarded("overflows")
def unscaled(scaler: Any, optimizer: Any) -> None:
    """A scaler has looked at the gradients of an optimizer."""
    _looks.pop(optimizer, None)
    if type(scaler).__module__ + "." + type(scaler).__qualname__ in SCALERS:
        with memory.quiet():
            flagged = _is_flagged(scaler, optimizer)
            _looks[optimizer] = Look(flagged, _gradients(optimizer) if flagged else None)


@guarded("overflows")
def left_out(scaler: Any, optimizer: Any) -> None:
    """The last update of an optimizer was not made: if its scaler's flag is the reason, say what it was raised for."""
    look, ordinal = _looks.pop(optimizer, None), optimizers.ordinal(optimizer)
    if look is None or look.flagged is None or ordinal is None:
        return
    with memory.quiet():
        if not _is_flagged(scaler, optimizer):  # something else kept it from stepping
            return
        gradients = _gradients(optimizer) if look.gradients is None else look.gradients
    update = session.updates.get(ordinal, 0) - 1
    session.say("overflow", {"optimizer": ordinal, "update": update, "flagged": look.flagged, **gradients})


def _is_flagged(scaler: Any, optimizer: Any) -> Optional[bool]:
    """Whether a scaler's flag for this optimizer stands; None where that is not known."""
    states = getattr(scaler, "_per_optimizer_states", {})
    if id(optimizer) not in states:  # asking for it would make one
        return None
    values = [memory.scalar(one) for one in states[id(optimizer)].get("found_inf_per_device", {}).values()]
    return None if None in values or not values else any(value != 0.0 for value in values)


def _gradients(optimizer: Any) -> dict[str, int]:
    """Of an optimizer's gradients how many were looked at, how many of those are not finite, how many were not read."""
    found = {"tensors": 0, "not_finite": 0, "unread": 0}
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            if parameter.grad is None:
                continue
            finite = _is_finite(parameter.grad)
            found["unread" if finite is None else "tensors"] += 1
            found["not_finite"] += finite is False
    return found


def _is_finite(gradient: Any) -> Optional[bool]:
    """Whether every element is; None where that is not read."""
    if type(gradient) not in _PLAIN or memory.unreadable(gradient) is not None or not memory.is_there(gradient):
        return None
    if not gradient.is_floating_point():
        return None
    if gradient.numel() == 0:
        return True
    try:
        return all(math.isfinite(one.item()) for one in torch.aminmax(gradient.detach()))
    except RuntimeError:  # there is no such operation for its type
        return None
