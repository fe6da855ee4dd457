"""The loss that backward was called on, and what clipping measured.

Patched, because there is no hook: `torch.autograd.backward` (`Tensor.backward` calls it by that name) and
`torch.nn.utils.clip_grad_norm_` (also in `torch.nn.utils.clip_grad`). The loss is read before the backward, because an
optimizer may step inside of it; a value on a device is asked for and comes later. A call that is part of a compiled
graph is not covered: a clipping there leaves no norm.
"""

from __future__ import annotations

import functools
import inspect
import threading
from typing import Any, Callable

import torch
import torch.nn.utils.clip_grad as _clip_grad

from . import deferred, finished, memory, readings, session, steps, taken_out, unseen
from .guard import guarded

_original_backward = torch.autograd.backward
_original_clip = torch.nn.utils.clip_grad_norm_
_signature = inspect.signature(_original_clip)
instead: dict[str, Callable[..., Any]] = {}
"""What is called in place of torch's own in a process that is hollow, by its name: a program may have kept ours."""


@functools.wraps(_original_backward)
def backward(*args: Any, **kwargs: Any) -> Any:
    """Torch's own; the loss is read first, and of the gradients some elements behind it."""
    if torch.compiler.is_compiling():
        return _original_backward(*args, **kwargs)
    if instead:
        return instead["backward"](*args, **kwargs)
    if finished.enter():  # one inside of another has no loss of its own
        called_on(args, kwargs)
    try:
        result = _original_backward(*args, **kwargs)
    except BaseException:
        if finished.leave():
            finished.forget()
        raise
    if finished.leave():
        finished.note(_is_late)
    return result


@functools.wraps(_original_clip)
def clip_grad_norm_(*args: Any, **kwargs: Any) -> Any:
    """Torch's own; what it measured is noted."""
    if torch.compiler.is_compiling():
        return _original_clip(*args, **kwargs)
    if instead:
        return instead["clip_grad_norm_"](*args, **kwargs)
    norm = _original_clip(*args, **kwargs)
    clipped(norm, args, kwargs)
    return norm


def plain_backward(*args: Any, **kwargs: Any) -> Any:
    """Torch's own; nothing is noted."""
    return _original_backward(*args, **kwargs)


def plain_clip(*args: Any, **kwargs: Any) -> Any:
    """Torch's own; nothing is noted."""
    return _original_clip(*args, **kwargs)


def install() -> None:
    """Put the wrappers in place."""
    torch.autograd.backward = backward
    torch.nn.utils.clip_grad_norm_ = clip_grad_norm_
    _clip_grad.clip_grad_norm_ = clip_grad_norm_


def restore() -> None:
    """Put the originals back."""
    torch.autograd.backward = _original_backward
    torch.nn.utils.clip_grad_norm_ = _original_clip
    _clip_grad.clip_grad_norm_ = _original_clip


@guarded("loss")
def called_on(args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Note the loss of the next update."""
    tensors = args[0] if args else kwargs.get("tensors")
    if isinstance(tensors, (list, tuple)) and len(tensors) == 1:
        tensors = tensors[0]
    gathered = session.gathered
    session.trainers[1] = threading.get_ident()
    if not steps.is_open():  # a closure's passes belong to the step around them
        taken_out.look()
        unseen.at_backward(gathered.losses)
    gathered.losses += 1
    with memory.quiet():
        gathered.loss = _number(tensors)


@guarded("gradient_norm")
def clipped(norm: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Note the gradient norm of the next update."""
    with memory.quiet():
        given = _signature.bind(*args, **kwargs).arguments.get("max_norm")
        value, limit = _number(norm), _number(given)
        if value is None or limit is None:
            reason = "it is spread over the ranks" if memory.shard(norm) is not norm else "it lies on a device"
            session.uncovered("gradient norm", reason + ", and nobody is asked for it")
            return
        known = not isinstance(value, readings.Awaited) and not isinstance(limit, readings.Awaited)
        measured = deferred.clipping(value, limit) if known else {"value": value, "max_norm": limit}
        session.gathered.gradient_norm = measured


def _is_late(optimizer: Any) -> bool:
    return steps.is_open() or steps.is_followed(optimizer)


def _number(value: Any) -> Any:
    """A number, or one that a device has been asked for; None where there is none."""
    found = memory.as_number(value)
    return readings.scalar(value) if found is None and isinstance(value, torch.Tensor) else found
