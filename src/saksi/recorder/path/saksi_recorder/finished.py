"""Gradients as a backward left them, at the places that the next update's samples will be taken from.

Rules: taken each time the outermost `torch.autograd.backward` returns, of every optimizer that has samples, and kept
until its update; the last backward before it counts. An optimizer that steps inside of a backward has none: what it
reads is not finished as far as we can see.

Known weakness: gradients that the program computes otherwise (`torch.autograd.grad`, by hand) are put in place behind
this, and look as if they had been changed.
"""

from __future__ import annotations

import time
import weakref
from typing import Any, Callable, NamedTuple, Optional

import torch

from . import memory, optimizers, sample_layouts, session, thinning
from .guard import guarded, is_of_a_signal_handler

depth = [0]
"""Backwards that are under way: reentrant checkpointing calls one inside of another."""

_ODD = (sample_layouts.CannotBeReadError, AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError)
_kept: Any = weakref.WeakKeyDictionary()
_steps_inside: Any = weakref.WeakSet()


class Finished(NamedTuple):
    """What was there before one update, for each of its layouts."""

    update: int
    layouts: list[sample_layouts.Layout]
    gradients: list[bytes]
    took_ns: int


@guarded("finished")
def note(is_late: Callable[[Any], bool]) -> None:
    """A backward has returned. `is_late`: whether something of the program comes between our hook and the step."""
    for ordinal, optimizer in optimizers.living():
        rule = None if optimizer in _steps_inside else sample_layouts.rule_of(optimizer)
        update = session.updates.get(ordinal, 0)
        if rule is None or thinning.left_out(ordinal, update):
            continue
        began = time.monotonic_ns()
        try:
            with memory.quiet(), torch.no_grad():
                layouts = sample_layouts.layouts_of(optimizer, ordinal, rule, late=is_late(optimizer))
                found = [_gathered(optimizer, one, update) for one in layouts]
        except _ODD as error:  # as the update begins it is looked at again, and said
            if is_of_a_signal_handler(error):
                raise
            _kept.pop(optimizer, None)
            continue
        before = _kept.get(optimizer)
        spent = before.took_ns if before is not None and before.update == update else 0
        _kept[optimizer] = Finished(update, layouts, found, spent + time.monotonic_ns() - began)


def begins(optimizer: Any) -> None:
    """An update begins."""
    if depth[0]:
        _steps_inside.add(optimizer)
        _kept.pop(optimizer, None)


def of(optimizer: Any, update: int, layouts: list[sample_layouts.Layout]) -> Optional[Finished]:
    """What was kept for this update, if it is of the same tensors; it is let go."""
    found = _kept.pop(optimizer, None)
    return found if found is not None and found.update == update and found.layouts is layouts else None


def after_fork_in_child() -> None:
    """A child forked inside a backward is not inside it, and has gradients of its own."""
    depth[0] = 0
    _kept.clear()


def _gathered(optimizer: Any, layout: sample_layouts.Layout, update: int) -> bytes:
    layout.draw(update)
    return sample_layouts.gradients(layout, [one.of(optimizer) for one in layout.tensors])[1]
