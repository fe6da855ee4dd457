"""Optimizers, numbered in order of construction (or of first step, for one that was copied or unpickled).

Patched: `torch.optim.Optimizer.__init__`, because torch has no hook for construction.
"""

from __future__ import annotations

import functools
import sys
import weakref
from typing import Any, Iterable, Optional

import torch
from torch.optim import Optimizer

from . import memory, readings, session
from .guard import guarded
from .plain import plain, text

UNSAID = ("params", "param_names")  # the tensors themselves, and one name for each of them

MAX_AWAITED = 16  # hyper-parameters on devices, for each of which there is a request of its own

MAX_COUNTED = 4_096  # groups whose tensors are counted

PLAIN = (bool, int, float, str)

_original = Optimizer.__init__
_ordinals: Any = weakref.WeakKeyDictionary()
_next = [0]


@functools.wraps(_original)
def construct(self: Any, *args: Any, **kwargs: Any) -> None:
    """Torch's own; the optimizer is numbered afterwards."""
    if torch.compiler.is_compiling():
        return _original(self, *args, **kwargs)
    _original(self, *args, **kwargs)
    constructed(self)
    return None


def install() -> None:
    """Put the wrapper in place."""
    Optimizer.__init__ = construct  # type: ignore[method-assign]


def restore() -> None:
    """Put the original back."""
    Optimizer.__init__ = _original


@guarded("optimizers")
def constructed(optimizer: Any) -> None:
    """Number an optimizer and say so; one that has its number already is left alone."""
    if optimizer in _ordinals:
        return
    _ordinals[optimizer] = _next[0]
    _next[0] += 1
    session.say("optimizer", _about(optimizer))


def ordinal(optimizer: Any) -> Optional[int]:
    """The number of an optimizer, given now if it has none."""
    if optimizer not in _ordinals:
        constructed(optimizer)
    return _ordinals.get(optimizer)  # type: ignore[no-any-return]


def makes_steps(optimizer: Any) -> bool:
    """Whether it is optimizer 0."""
    return _ordinals.get(optimizer) == 0  # type: ignore[no-any-return]


def holds_any(number: int, given: Iterable[Any]) -> bool:
    """Whether the optimizer of that number is still in use and has one of these parameters."""
    wanted = {id(one) for one in given}
    return any(
        id(parameter) in wanted
        for ordinal, one in living()
        if ordinal == number
        for group in one.param_groups
        for parameter in group["params"]
    )


def living() -> list[tuple[int, Any]]:
    """Every optimizer still in use, by ordinal."""
    return sorted(((number, one) for one, number in list(_ordinals.items())), key=lambda pair: pair[0])


def parameters(optimizer: Any) -> list[Any]:
    """Its reachable parameters, in the order of groups."""
    return memory.reachable(p for group in optimizer.param_groups for p in group["params"])


def states(optimizer: Any, parameter: Any) -> list[tuple[str, Any]]:
    """Key and value of everything the optimizer keeps for one parameter, by key: tensors, numbers and text."""
    kept = optimizer.state.get(parameter)
    if not isinstance(kept, dict):
        return []
    out = []
    for key in sorted(kept, key=str):
        for path, leaf in memory.leaves_in(kept[key]):
            if isinstance(leaf, (torch.Tensor, *PLAIN)):
                out.append((str(key) + path, leaf))
            elif leaf is not None:
                kind = "optimizer state %s of class %s" % (key, type(leaf).__name__)
                session.uncovered(kind, "neither a tensor nor a number nor text: no root covers it")
    return out


def name_what_no_root_covers(optimizer: Any) -> None:
    """What the optimizer keeps otherwise than in a dictionary for each of its parameters is named once."""
    held = {id(p) for group in optimizer.param_groups for p in group["params"]}
    for key, kept in list(optimizer.state.items()):
        if id(key) not in held:
            place = "a tensor that is none" if isinstance(key, torch.Tensor) else text(plain(key), 200)
            reason = "kept under %s: no root covers it" % place
            session.uncovered("optimizer state that belongs to no parameter", reason)
        elif not isinstance(kept, dict):
            kind = "optimizer state of class " + type(kept).__name__
            session.uncovered(kind, "kept for a parameter, but not in a dictionary: no root covers it")


def moments(optimizer: Any) -> list[Any]:
    """Its reachable state tensors, in the order of a state root."""
    found: list[Any] = []
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            kept = optimizer.state.get(parameter)
            for key in sorted(kept, key=str) if isinstance(kept, dict) else ():
                value = kept[key]
                if isinstance(value, torch.Tensor):  # `states` says the same and more, and takes longer
                    found.append(value)
                elif isinstance(value, (list, tuple, dict)):
                    found += [tensor for _, tensor in memory.tensors_in(value)]
    return memory.reachable(found)


@guarded("groups", list)
def groups(optimizer: Any) -> list[dict[str, Any]]:
    """Every hyper-parameter of every group."""
    return [
        {text(k, 200): memory.described(v) for k, v in group.items() if k not in UNSAID}
        for group in optimizer.param_groups
    ]


@guarded("groups", list)
def tensors(optimizer: Any) -> list[int]:
    """How many tensors each group holds, of the first groups."""
    return [len(group["params"]) for group in optimizer.param_groups[:MAX_COUNTED]]


@guarded("groups", list)
def awaited(optimizer: Any) -> list[tuple[int, str, Any]]:
    """Group, name and number, of the hyper-parameters that lie on a device as it is asked for them."""
    found: list[tuple[int, str, Any]] = []
    for place, group in enumerate(optimizer.param_groups if memory.reached else ()):
        for name, value in group.items():
            if isinstance(value, torch.Tensor) and name not in UNSAID and len(found) < MAX_AWAITED:
                number = readings.scalar(value) if not memory.lies_here(value) else None
                if number is not None:
                    found.append((place, text(name, 200), number))
    return found


def _about(optimizer: Any) -> dict[str, Any]:
    kind = type(optimizer)
    file = getattr(sys.modules.get(kind.__module__), "__file__", None)
    held = [p for group in optimizer.param_groups for p in group["params"]]
    with memory.quiet():
        defaults = {text(k, 200): memory.described(v) for k, v in optimizer.defaults.items()}
    return {
        "ordinal": _ordinals[optimizer],
        "class_name": text(kind.__module__ + "." + kind.__qualname__),
        "file": None if file is None else text(file),
        "groups": len(optimizer.param_groups),
        "tensors": len(held),
        "defaults": defaults,
    }


@guarded("optimizers", list)
def announced() -> list[tuple[str, dict[str, Any]]]:
    """The frames for optimizers that exist when a connection begins."""
    return [("optimizer", _about(one)) for _, one in living()]
