"""Schedules of learning rates, numbered in order of construction: what one carries itself is code that training calls.

Patched: `__init__` of torch's `LRScheduler`, and of its schedules that do not call that one, because torch has no hook
for construction. A schedule that was copied or unpickled is not known, nor one of another class than torch's.
"""

from __future__ import annotations

import functools
import weakref
from typing import Any

import torch
from torch.optim import lr_scheduler as _lr_scheduler

from .guard import guarded

MAX_KEPT = 1024  # a script may make a schedule for each step

_base = getattr(_lr_scheduler, "LRScheduler", None) or _lr_scheduler._LRScheduler  # noqa: SLF001  (before torch 2.0)
_original = _base.__init__
_original_sequential = _lr_scheduler.SequentialLR.__init__
_original_chained = _lr_scheduler.ChainedScheduler.__init__
_original_plateau = _lr_scheduler.ReduceLROnPlateau.__init__
_ordinals: Any = weakref.WeakKeyDictionary()
_next = [0]


@functools.wraps(_original)
def construct(self: Any, *args: Any, **kwargs: Any) -> None:
    """Torch's own; the schedule is numbered afterwards."""
    if torch.compiler.is_compiling():
        return _original(self, *args, **kwargs)
    _original(self, *args, **kwargs)
    constructed(self)
    return None


@functools.wraps(_original_sequential)
def construct_sequential(self: Any, *args: Any, **kwargs: Any) -> None:
    """As `construct`."""
    if torch.compiler.is_compiling():
        return _original_sequential(self, *args, **kwargs)
    _original_sequential(self, *args, **kwargs)
    constructed(self)
    return None


@functools.wraps(_original_chained)
def construct_chained(self: Any, *args: Any, **kwargs: Any) -> None:
    """As `construct`."""
    if torch.compiler.is_compiling():
        return _original_chained(self, *args, **kwargs)
    _original_chained(self, *args, **kwargs)
    constructed(self)
    return None


@functools.wraps(_original_plateau)
def construct_plateau(self: Any, *args: Any, **kwargs: Any) -> None:
    """As `construct`."""
    if torch.compiler.is_compiling():
        return _original_plateau(self, *args, **kwargs)
    _original_plateau(self, *args, **kwargs)
    constructed(self)
    return None


_PATCHED = (
    (_base, _original, construct),
    (_lr_scheduler.SequentialLR, _original_sequential, construct_sequential),
    (_lr_scheduler.ChainedScheduler, _original_chained, construct_chained),
    (_lr_scheduler.ReduceLROnPlateau, _original_plateau, construct_plateau),
)


def install() -> None:
    """Put the wrappers in place."""
    for kind, _, ours in _PATCHED:
        kind.__init__ = ours


def restore() -> None:
    """Put the originals back."""
    for kind, original, _ in _PATCHED:
        kind.__init__ = original


@guarded("schedules")
def constructed(schedule: Any) -> None:
    """Number a schedule; one that has its number already is left alone."""
    if schedule not in _ordinals and len(_ordinals) < MAX_KEPT:
        _ordinals[schedule] = _next[0]
        _next[0] += 1


def living() -> list[tuple[int, Any]]:
    """Every schedule still in use that is known, by ordinal."""
    return sorted(((number, one) for one, number in list(_ordinals.items())), key=lambda pair: pair[0])
