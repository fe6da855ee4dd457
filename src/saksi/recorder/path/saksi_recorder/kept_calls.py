"""Models that are not executed again, while a process is hollow: what a call of one returned first, it returns again.

Rules: the outermost module alone, and none without parameters and buffers: a loss, say, runs. A call is known by its
module, whether that trains, the modes of torch, and the form of what it is given; what has another form than tensors,
numbers and text in lists, tuples and dictionaries is executed each time. What is returned is a copy each time, and has
a gradient function where it had one.

Known weaknesses: what a module does besides (a counter of its own, a loss that it keeps aside) happens once; shapes
that follow from the values it is given are those of the first call.
"""

from __future__ import annotations

import functools
import itertools
import threading
import weakref
from typing import Any, Callable, NamedTuple

import torch

from . import memory, session
from .cannot import or_refused, refuse

MAX_KEPT = 256  # calls: of batches of each length, say
MAX_BYTES = 1 << 30
MAX_DEPTH = 8
_PLAIN = (bool, int, float, str, type(None))

_original = torch.nn.Module.__call__
_local = threading.local()
_kept: dict[Any, Any] = {}
_room = [MAX_BYTES]
_keeps: list[Callable[[], bool]] = [lambda: True]
_modules: dict[int, Any] = {}  # those that hold something, with a number for each
_numbers = itertools.count()


class _NotPlainError(Exception):
    """Something of another form."""


class _Leaf(NamedTuple):
    value: Any


@functools.wraps(_original)
def call(self: Any, *args: Any, **kwargs: Any) -> Any:
    """Torch's own, or what it returned first."""
    if torch.compiler.is_compiling():
        return _original(self, *args, **kwargs)
    if not session.hollow or getattr(_local, "inside", False) or not _holds_something(self):
        return _original(self, *args, **kwargs)
    key = _key(self, args, kwargs)
    known = _kept.get(key) if key is not None else None
    if known is not None:
        return _again(known)
    _local.inside = True
    try:
        returned = _original(self, *args, **kwargs)
    finally:
        _local.inside = False
    _watch(returned)
    if key is not None and session.hollow and _keeps[0]() and len(_kept) < MAX_KEPT:
        _keep(key, returned)
    return returned


def install(*, keeps: Callable[[], bool]) -> None:
    """Put the wrapper in place; `keeps` is asked whether what is executed is kept, or watched alone."""
    _keeps[0] = keeps
    torch.nn.Module.__call__ = call  # type: ignore[method-assign]


def restore() -> None:
    """Put the original back, and let go of what was kept."""
    torch.nn.Module.__call__ = _original  # type: ignore[method-assign]
    _kept.clear()
    _modules.clear()
    _room[0] = MAX_BYTES


@or_refused
def _holds_something(module: Any) -> bool:
    known = _modules.get(id(module))
    if known is not None and known[0]() is module:
        return True
    if next(module.parameters(), None) is None and next(module.buffers(), None) is None:
        return False
    _modules[id(module)] = (weakref.ref(module), next(_numbers))
    return True


@or_refused
def _key(module: Any, args: Any, kwargs: Any) -> Any:
    modes = (torch.is_grad_enabled(), torch.is_inference_mode_enabled(), *_autocast())
    try:
        return (_modules[id(module)][1], module.training, modes, _mapped((args, kwargs), _form))
    except _NotPlainError:
        return None


def _autocast() -> tuple[Any, ...]:
    on = torch.is_autocast_enabled("cpu")
    return (on, torch.get_autocast_dtype("cpu") if on else None)


def _form(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return (tuple(value.shape), value.dtype, value.device, value.requires_grad)
    if type(value) in _PLAIN:
        return (type(value), value)
    raise _NotPlainError


@or_refused
def _keep(key: Any, returned: Any) -> None:
    sizes: list[int] = []

    def leaf(value: Any) -> Any:
        if type(value) in _PLAIN:
            return _Leaf(value)
        if type(value) is not torch.Tensor or value.layout is not torch.strided:
            raise _NotPlainError
        sizes.append(value.numel() * value.element_size())
        if sum(sizes) > _room[0]:
            raise _NotPlainError
        differentiable = value.requires_grad and (value.is_floating_point() or value.is_complex())
        kept = value.detach().clone().requires_grad_(differentiable)
        if differentiable:
            kept.register_hook(_met)  # type: ignore[no-untyped-call]
        return _Leaf(kept)

    try:
        with memory.quiet():
            _kept[key] = _mapped(returned, leaf, build=True)
    except _NotPlainError:
        return
    _room[0] -= sum(sizes)


@or_refused
def _watch(returned: Any, depth: int = 0) -> None:
    """A backward behind the capsule must not run through what was computed before it."""
    if isinstance(returned, torch.Tensor):
        if returned.requires_grad and not returned.is_leaf:
            returned.register_hook(_met)  # type: ignore[no-untyped-call]
    elif depth <= MAX_DEPTH and isinstance(returned, (list, tuple, dict)):
        for one in returned.values() if isinstance(returned, dict) else returned:
            _watch(one, depth + 1)


def _met(_gradient: Any) -> None:
    if not session.hollow:
        refuse("a backward behind the capsule runs through what a model returned before it")


@or_refused
def _again(known: Any) -> Any:
    with memory.quiet():
        return _copied(known)


def _copied(known: Any) -> Any:
    # A copy of what has a gradient, and no leaf: a program may write to it in place.
    if type(known) is _Leaf:
        return known.value.clone() if isinstance(known.value, torch.Tensor) else known.value
    if type(known) is dict:
        return {name: _copied(one) for name, one in known.items()}
    return type(known)(_copied(one) for one in known)


def _mapped(value: Any, leaf: Callable[[Any], Any], depth: int = 0, *, build: bool = False) -> Any:
    """The same structure with other leaves, or a word for it that can be compared."""
    if depth > MAX_DEPTH:
        raise _NotPlainError
    if type(value) is dict:
        items = {name: _mapped(one, leaf, depth + 1, build=build) for name, one in value.items()}
        return items if build else (dict, tuple(items.items()))
    if type(value) in (list, tuple):
        many = [_mapped(one, leaf, depth + 1, build=build) for one in value]
        return type(value)(many) if build else (type(value), tuple(many))
    return leaf(value)
