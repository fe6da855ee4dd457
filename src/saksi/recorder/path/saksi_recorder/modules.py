"""Which modules exist, learned from torch's registration hooks; the top-level ones are those nobody contains.

Rules: only weak references; the hooks return None, so nothing of what is registered changes; inside a compiled region
they do nothing; models are walked through by torch's own tables, and no method is asked that a class may have replaced.
A module that never registers anything itself (a deep copy, an unpickled one) is none of them: such copies are known
apart, since what roots cover must not depend on what a program copies.

Patched: `torch.nn.Module.__setstate__`, because torch has no hook for a copy being made.
"""

from __future__ import annotations

import functools
import weakref
from typing import Any, Iterator, Optional

import torch
from torch.nn.modules import module as _torch_module

from . import bare, session
from .guard import guarded
from .plain import text

_held: Any = torch.nn.Module.__dict__["__dict__"].__get__  # `bare.held`, for what is known to be a module
_original = torch.nn.Module.__setstate__
_seen: dict[int, Any] = {}
_copied: dict[int, Any] = {}
_numbers: dict[int, int] = {}  # of copies that were listed
_next_copy = [0]
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


@functools.wraps(_original)
def set_state(self: Any, *args: Any, **kwargs: Any) -> Any:
    """Torch's own; the copy is known afterwards."""
    if torch.compiler.is_compiling():
        return _original(self, *args, **kwargs)
    out = _original(self, *args, **kwargs)
    copied(self)
    return out


@guarded("copies")
def copied(module: Any) -> None:
    """A module was made by copying or unpickling one."""
    identity = id(module)

    def gone(_: Any) -> None:
        _copied.pop(identity, None)
        _numbers.pop(identity, None)

    _copied[identity] = weakref.ref(module, gone)


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
    torch.nn.Module.__setstate__ = set_state  # type: ignore[method-assign]


def restore() -> None:
    """Remove the hooks, and put the original back."""
    while _handles:
        _handles.pop().remove()
    torch.nn.Module.__setstate__ = _original  # type: ignore[method-assign]


def top_level() -> list[tuple[int, Any]]:
    """Living modules that nobody contains and that hold a parameter or buffer, numbered in order of first sight."""
    alive = [module for module in (reference() for reference in list(_seen.values())) if module is not None]
    contained = {id(child) for module in alive for _, child in _table(module, "_modules") if child is not None}
    out = []
    for module in alive:
        if id(module) in contained or not _holds_something(module):
            continue
        known = _ordinals.get(id(module))
        if known is None or known[1]() is not module:
            known = _number(id(module), module)
        out.append((known[0], module))
    return sorted(out, key=lambda pair: pair[0])


def known() -> Iterator[tuple[str, Any]]:
    """Top-level modules and top-level copies, with a word for each."""
    for ordinal, module in top_level():
        yield "module %d" % ordinal, module
    alive = [module for module in (reference() for reference in list(_copied.values())) if module is not None]
    if not alive:
        return
    holders = [*alive, *(module for module in (one() for one in list(_seen.values())) if module is not None)]
    contained = {id(child) for module in holders for _, child in _table(module, "_modules") if child is not None}
    for module in alive:
        identity = id(module)
        if identity in contained or identity in _seen or next(parameters_of(module), None) is None:
            continue
        if identity not in _numbers:
            _numbers[identity] = _next_copy[0]
            _next_copy[0] += 1
        yield "copy %d" % _numbers[identity], module


def own_parameter(module: Any, name: str) -> Optional[Any]:
    """What a module itself holds under a name; None where that is no tensor, or the module none of torch's own form."""
    table = dict.get(_held(module), "_parameters")
    found = table.get(name) if type(table) is dict else None
    return found if bare.is_a(found, torch.Tensor) else None


def _number(identity: int, module: Any) -> tuple[int, Any]:
    # Forgotten as it goes: a script may make a module for each step.
    gone = weakref.ref(module, lambda _: _ordinals.pop(identity, None))
    known = _ordinals[identity] = (_next[0], gone)
    _next[0] += 1
    return known


def is_covered(module: Any) -> bool:
    """Whether a root covers this very module's buffers: it has been listed as a top-level one."""
    known = _ordinals.get(id(module))
    return known is not None and known[1]() is module and next(_named(module, "_buffers"), None) is not None


def announce() -> None:
    """Say each top-level module once on a connection."""
    for ordinal, module in top_level():
        if ordinal in _said:
            continue
        _said.add(ordinal)
        parameters = [p for _, p in parameters_of(module) if not torch.nn.parameter.is_lazy(p)]
        session.say(
            "module",
            {
                "ordinal": ordinal,
                "class_name": text(bare.name_of(type(module))),
                "parameters": sum(p.numel() for p in parameters),
                "tensors": len(parameters),
                "buffers": sum(1 for _ in _named(module, "_buffers")),
            },
        )


def names() -> dict[int, str]:
    """The qualified name of each parameter, by identity, in the first top-level module that has it."""
    out: dict[int, str] = {}
    for _, module in top_level():
        for name, parameter in parameters_of(module):
            out.setdefault(id(parameter), name)
    return out


def buffers() -> Iterator[tuple[str, str, Any]]:
    """Key, qualified name and tensor of every buffer of the top-level modules."""
    for ordinal, module in top_level():
        for name, buffer in _named(module, "_buffers"):
            yield "buffer/%d/%s" % (ordinal, name), name, buffer


def parameters_of(module: Any) -> Iterator[tuple[str, Any]]:
    """Name and parameter, each once, in the order in which torch has them."""
    return _named(module, "_parameters")


def buffers_of(module: Any) -> Iterator[tuple[str, Any]]:
    """Name and buffer, likewise."""
    return _named(module, "_buffers")


def own_parameters(module: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    """Name and parameter of what one module itself holds."""
    for name, tensor in _table(module, "_parameters"):
        if bare.is_a(tensor, torch.Tensor):
            yield _joined(prefix, name), tensor


def within(module: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Name and module, itself first, each once, in the order in which torch has them."""
    seen: set[int] = set()
    waiting = [(prefix, module)]
    while waiting:
        prefix, one = waiting.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        yield prefix, one
        for name, child in reversed(_table(one, "_modules")):
            if bare.is_a(child, torch.nn.Module):
                waiting.append((_joined(prefix, name), child))


def _named(module: Any, table: str) -> Iterator[tuple[str, Any]]:
    seen: dict[int, Any] = {}
    for prefix, one in within(module):
        for name, tensor in _table(one, table):
            if bare.is_a(tensor, torch.Tensor) and id(tensor) not in seen:
                seen[id(tensor)] = tensor
                yield _joined(prefix, name), tensor


def _table(module: Any, name: str) -> list[tuple[str, Any]]:
    table = dict.get(_held(module), name)
    if type(table) is dict:  # most are: this is asked of every module
        return list(table.items()) if table else []
    if table is None or bare.is_a(table, dict):
        return bare.items(table)
    wrapper = bare.held(session.loaded("torch.jit._script")).get("OrderedDictWrapper")
    return list(table.items()) if wrapper is not None and bare.is_a(table, wrapper) else []  # a scripted module's


def _joined(prefix: str, name: Any) -> str:
    name = name if type(name) is str else bare.word(name)
    return prefix + "." + name if prefix else name


def _holds_something(module: Any) -> bool:
    return any(next(_named(module, table), None) is not None for table in ("_parameters", "_buffers"))


session.forgetters.append(_said.clear)
