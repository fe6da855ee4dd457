"""Gradients as a backward left them, at the places that the next update's samples will be taken from.

Rules: taken each time the outermost `torch.autograd.backward` of a thread returns, of the optimizers that stepped last
in that thread, where their gradients are others than before; kept until the update, and the last backward counts. An
optimizer that steps inside of a backward has none: what it reads is not finished as far as we can see. A backward that
raises leaves nothing.

Known weakness: gradients that the program computes otherwise (`torch.autograd.grad`, by hand) are put in place behind
this, and look as if they had been changed. The first update of an optimizer has none.
"""

from __future__ import annotations

import threading
import time
import weakref
from typing import Any, Callable, NamedTuple, Optional

import torch

from . import memory, optimizers, sample_layouts, session, thinning
from .guard import guarded, is_of_a_signal_handler

_ODD = (sample_layouts.CannotBeReadError, AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError)
_Alive = torch._C._WeakTensorRef  # noqa: SLF001  (its only name; Python's own forgets tensors that live on in torch)
_local = threading.local()
_kept: Any = weakref.WeakKeyDictionary()
_threads: Any = weakref.WeakKeyDictionary()  # where each optimizer stepped last
_seen: Any = weakref.WeakKeyDictionary()  # the gradients as they were last looked at, and whether they live
_steps_inside: Any = weakref.WeakSet()


class Finished(NamedTuple):
    """What was there before one update: for each of its layouts the tensors without a gradient, and the elements."""

    update: int
    layouts: list[sample_layouts.Layout]
    gradients: list[tuple[list[int], bytes]]
    took_ns: int


def enter() -> bool:
    """A backward begins in this thread; whether it is the outermost: reentrant checkpointing calls one in another."""
    depth = getattr(_local, "depth", 0)
    _local.depth = depth + 1
    return depth == 0


def leave() -> bool:
    """It has returned or raised; whether it was the outermost."""
    _local.depth = max(0, getattr(_local, "depth", 0) - 1)
    return bool(_local.depth == 0)


@guarded("finished")
def forget() -> None:
    """A backward raised: what it left is half of a gradient."""
    for optimizer in [one for one in list(_kept) if _threads.get(one) == threading.get_ident()]:
        _kept.pop(optimizer, None)


@guarded("finished")
def note(is_late: Callable[[Any], bool]) -> None:
    """A backward has returned. `is_late`: whether something of the program comes between our hook and the step."""
    thread = threading.get_ident()
    for ordinal, optimizer in optimizers.living():
        if _threads.get(optimizer) != thread or optimizer in _steps_inside:
            continue
        rule = sample_layouts.rule_of(optimizer)
        update = session.updates.get(ordinal, 0)
        if rule is None or thinning.left_out(ordinal, update):
            continue
        began = time.monotonic_ns()
        try:
            if _is_as_before(optimizer):
                continue
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
    _threads[optimizer] = threading.get_ident()
    _seen.pop(optimizer, None)  # numbers of objects are given anew once it lets go of its gradients
    if getattr(_local, "depth", 0):
        _steps_inside.add(optimizer)
        _kept.pop(optimizer, None)


def of(optimizer: Any, update: int, layouts: list[sample_layouts.Layout]) -> Optional[Finished]:
    """What was kept for this update, if it is of the same tensors; it is let go."""
    found = _kept.pop(optimizer, None)
    if found is None or found.update != update or [one.name for one in found.layouts] != [one.name for one in layouts]:
        return None
    return found  # type: ignore[no-any-return]


def after_fork_in_child() -> None:
    """A child forked inside a backward is not inside it, and has gradients of its own."""
    _local.depth = 0
    _kept.clear()
    _threads.clear()


def _is_as_before(optimizer: Any) -> bool:
    """Whether no gradient of an optimizer was written to since the last look: another one was trained."""
    gradients = [one.grad for group in optimizer.param_groups for one in group["params"]]
    held = [one for one in gradients if one is not None]
    now = [(id(one), one._version) for one in held]  # noqa: SLF001
    seen, alive = _seen.get(optimizer, (None, ()))
    # One that was let go since may have given its number to another.
    same = seen == now and not any(one.expired() for one in alive)
    _seen[optimizer] = now, [_Alive(one) for one in held]
    return same


def _gathered(optimizer: Any, layout: sample_layouts.Layout, update: int) -> tuple[list[int], bytes]:
    layout.draw(update)
    return sample_layouts.gradients(layout, [one.of(optimizer) for one in layout.tensors])
