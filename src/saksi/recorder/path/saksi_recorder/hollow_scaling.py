"""Gradient scalers in a process that is hollow: they find overflows where the run did, and nowhere else.

Rules: only what reads gradients is replaced; the scale, and all that torch's own `update` makes of what was found, go
on as in the run, whether one scaler serves several optimizers or a program reads the scale in between.
"""

# ruff: noqa: SLF001  (torch gives no public name to what is written here)

from __future__ import annotations

import functools
import weakref
from typing import Any, Callable

import torch
from torch.amp.grad_scaler import GradScaler, OptState

from . import optimizers, session
from .cannot import or_refused
from .hollow_record import Record

_original_init = GradScaler.__init__
_original_scale = GradScaler.scale
_original_step = GradScaler.step
_original_unscale = GradScaler.unscale_
_made: list[Any] = []
_scaled: list[Any] = []  # the tensor that was scaled last, and what came of it
_told: list[Any] = []  # the record, and whom to tell of an update that was left out


@functools.wraps(_original_init)
def construct(self: Any, *args: Any, **kwargs: Any) -> None:
    """Torch's own, noted."""
    if torch.compiler.is_compiling():
        return _original_init(self, *args, **kwargs)
    _original_init(self, *args, **kwargs)
    _made.append(weakref.ref(self))
    return None


@functools.wraps(_original_scale)
def scale(self: Any, *args: Any, **kwargs: Any) -> Any:
    """Torch's own; what came of it is noted."""
    if torch.compiler.is_compiling():
        return _original_scale(self, *args, **kwargs)
    scaled = _original_scale(self, *args, **kwargs)
    given = args[0] if args else kwargs.get("outputs")
    if isinstance(given, torch.Tensor) and scaled is not given:
        _scaled[:] = [weakref.ref(scaled), weakref.ref(given), self]
    return scaled


@functools.wraps(_original_unscale)
def unscale_(self: Any, *args: Any, **kwargs: Any) -> Any:
    """What the run found in its gradients."""
    if torch.compiler.is_compiling():
        return _original_unscale(self, *args, **kwargs)
    if not session.hollow or not self._enabled:
        return _original_unscale(self, *args, **kwargs)
    _find(self, args[0] if args else kwargs.get("optimizer"), OptState.UNSCALED)
    return None


@functools.wraps(_original_step)
def step(self: Any, *args: Any, **kwargs: Any) -> Any:
    """The optimizer's step, unless the run left it out."""
    if torch.compiler.is_compiling():
        return _original_step(self, *args, **kwargs)
    if not session.hollow or not self._enabled:
        return _original_step(self, *args, **kwargs)
    optimizer, rest = (args[0], args[1:]) if args else (kwargs.pop("optimizer", None), ())
    if not _find(self, optimizer, OptState.STEPPED) or getattr(optimizer, "_step_supports_amp_scaling", False):
        return optimizer.step(*rest, **kwargs)
    _told[1](optimizer)
    return None


def install(record: Record, left_out: Callable[[Any], None]) -> None:
    """Put the wrappers in place."""
    _told[:] = [record, left_out]
    GradScaler.__init__ = construct  # type: ignore[method-assign]
    GradScaler.scale = scale  # type: ignore[method-assign]
    GradScaler.unscale_ = unscale_  # type: ignore[method-assign]
    GradScaler.step = step  # type: ignore[method-assign]


def restore() -> None:
    """Put the originals back."""
    GradScaler.__init__ = _original_init  # type: ignore[method-assign]
    GradScaler.scale = _original_scale  # type: ignore[method-assign]
    GradScaler.unscale_ = _original_unscale  # type: ignore[method-assign]
    GradScaler.step = _original_step  # type: ignore[method-assign]
    _scaled.clear()


def made() -> list[Any]:
    """Each scaler of this process, in the order in which they were made; None for one that was let go of."""
    return [one() for one in _made]


def behind(scaled: Any) -> Any:
    """What was scaled to this tensor, and by how much; None if it is not known to be scaled."""
    if not _scaled or _scaled[0]() is not scaled or _scaled[1]() is None:
        return None
    return _scaled[1](), _scaled[2].get_scale()


@or_refused
def _find(scaler: Any, optimizer: Any, stage: Any) -> bool:
    """Leave with the scaler what the run found for the coming update; whether that was an overflow."""
    skipped: bool = _told[0].of(optimizers.ordinal(optimizer)).skipped
    lies = scaler._scale.device
    kept = scaler._per_optimizer_states[id(optimizer)]
    kept["found_inf_per_device"] = {lies: torch.full((), float(skipped), dtype=torch.float32, device=lies)}
    kept["stage"] = stage
    return skipped
