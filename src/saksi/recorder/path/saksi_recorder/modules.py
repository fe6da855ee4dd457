"""Which modules exist, learned from torch's registration hooks; the top-level ones are those nobody contains.

Rules: only weak references; the hooks return None, so nothing of what is registered changes; inside a compiled region
they do nothing. A module that never registers anything itself (a deep copy, an unpickled one) is not seen.
"""

# ruff: noqa: SLF001  (torch gives no public name to what is read here)

from __future__ import annotations

import weakref
from typing import Any, Iterator

import torch
from torch.nn.modules import module as _torch_module

from . import session
from .guard import guarded
from .plain import text

_seen: dict[int, Any] = {}
_handles: list[Any] = []
_ordinals: dict[int, tuple[int, Any]] = {}
_next = [0]
_said: set[int] = set()


def registered(module: Any, _name: str, _value: Any) -> None:
    """Torch's hook for a parameter, buffer or child being registered in `module`."""
    if torch.compiler.is_compiling():
        return
    identity = id(module)
    known = _seen.get(identity)
    if known is None or known() is not module:
        _note(identity, module)


@guarded("modules")
def _note(identity: int, module: Any) -> None:
    _seen[identity] = weakref.ref(module, lambda _, identity=identity: _seen.pop(identity, None))


def install() -> None:
    """Register the hooks."""
    _handles.extend(
        register(registered)
        for register in (
            _torch_module.register_module_parameter_registration_hook,
            _torch_module.register_module_buffer_registration_hook,
            _torch_module.register_module_module_registration_hook,
        )
    )


def restore() -> None:
    """Remove the hooks."""
    while _handles:
        _handles.pop().remove()


def top_level() -> list[tuple[int, Any]]:
    """Living modules that nobody contains and that hold a parameter or buffer, numbered in order of first sight."""
    alive = [module for module in (reference() for reference in list(_seen.values())) if module is not None]
    contained = {id(child) for module in alive for child in module._modules.values() if child is not None}
    out = []
    for module in alive:
        if id(module) in contained or not _holds_something(module):
            continue
        known = _ordinals.get(id(module))
        if known is None or known[1]() is not module:
            known = _number(id(module), module)
        out.append((known[0], module))
    return sorted(out, key=lambda pair: pair[0])


def _number(identity: int, module: Any) -> tuple[int, Any]:
    # Forgotten as it goes: a script may make a module for each step.
    gone = weakref.ref(module, lambda _: _ordinals.pop(identity, None))
    known = _ordinals[identity] = (_next[0], gone)
    _next[0] += 1
    return known


def is_covered(module: Any) -> bool:
    """Whether a root covers this very module's buffers: it has been listed as a top-level one."""
    known = _ordinals.get(id(module))
    return known is not None and known[1]() is module and next(module.buffers(), None) is not None


def announce() -> None:
    """Say each top-level module once on a connection."""
    for ordinal, module in top_level():
        if ordinal in _said:
            continue
        _said.add(ordinal)
        parameters = [p for p in module.parameters() if not torch.nn.parameter.is_lazy(p)]
        session.say(
            "module",
            {
                "ordinal": ordinal,
                "class_name": text(type(module).__module__ + "." + type(module).__qualname__),
                "parameters": sum(p.numel() for p in parameters),
                "tensors": len(parameters),
                "buffers": sum(1 for _ in module.buffers()),
            },
        )


def names() -> dict[int, str]:
    """The qualified name of each parameter, by identity, in the first top-level module that has it."""
    out: dict[int, str] = {}
    for _, module in top_level():
        for name, parameter in module.named_parameters():
            out.setdefault(id(parameter), name)
    return out


def buffers() -> Iterator[tuple[str, str, Any]]:
    """Key, qualified name and tensor of every buffer of the top-level modules."""
    for ordinal, module in top_level():
        for name, buffer in module.named_buffers():
            yield "buffer/%d/%s" % (ordinal, name), name, buffer


def _holds_something(module: Any) -> bool:
    return next(module.parameters(), None) is not None or next(module.buffers(), None) is not None


session.forgetters.append(_said.clear)
