"""Updates that a gradient scaler left out, because the gradients had overflowed.

Patched, because there is no hook: `torch.amp.GradScaler.step` and `unscale_`, which `step` calls where the program does
not. A fused optimizer is called all the same and told by a flag; every other is not called at all, and the scaler
returns None.
"""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch.amp.grad_scaler import GradScaler

from . import overflows, session, steps
from .guard import guarded

_original = GradScaler.step
_original_unscale = GradScaler.unscale_


@functools.wraps(_original)
def step(self: Any, *args: Any, **kwargs: Any) -> Any:
    """Torch's own; an update that it left out is noted."""
    if torch.compiler.is_compiling():
        return _original(self, *args, **kwargs)
    optimizer = args[0] if args else kwargs.get("optimizer")
    made = steps.made_by(optimizer)
    result = _original(self, *args, **kwargs)
    if result is None and left_out(optimizer, made):
        overflows.left_out(self, optimizer)
        session.gather_anew()
    return result


@functools.wraps(_original_unscale)
def unscale_(self: Any, *args: Any, **kwargs: Any) -> Any:
    """Torch's own; what it says of the gradients is noted, and of what it calls an overflow what they are."""
    if torch.compiler.is_compiling():
        return _original_unscale(self, *args, **kwargs)
    result = _original_unscale(self, *args, **kwargs)
    overflows.unscaled(self, args[0] if args else kwargs.get("optimizer"))
    return result


def install() -> None:
    """Put the wrappers in place."""
    GradScaler.step = step  # type: ignore[method-assign]
    GradScaler.unscale_ = unscale_  # type: ignore[method-assign]


def restore() -> None:
    """Put the originals back."""
    GradScaler.step = _original  # type: ignore[method-assign]
    GradScaler.unscale_ = _original_unscale  # type: ignore[method-assign]


@guarded("scaling", bool)
def left_out(optimizer: Any, made: int) -> bool:
    """The scaler returned without a loss: if no step was seen, and one would have been, it was left out."""
    # Torch marks the step functions that it wrapped. One that it did not wrap may have stepped unseen.
    if (
        made < 0
        or not steps.are_seen()
        or steps.made_by(optimizer) != made
        or not getattr(type(optimizer).step, "hooked", False)
    ):
        return False
    return steps.left_out(optimizer)
