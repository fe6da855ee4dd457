"""The hooks, modes and flags in force as an update returns: their names, and one digest over them.

Rules: the recorder's own hooks are listed like any other, by name, so that one put before them or in their place shows;
names are worked out again only when something changed; no hook and no optimizer is asked for anything.
"""

# ruff: noqa: SLF001  (torch gives no public name to what is read here)

from __future__ import annotations

import functools
import hashlib
import json
import types
from typing import Any

import torch
from torch.nn.modules import module as _module
from torch.optim import optimizer as _optimizer

from . import bare, session
from .guard import guarded
from .plain import text

ZEROS = "0" * 64
MAX_NAMES = 64
MAX_NAME = 200

_NAMED = (types.FunctionType, types.BuiltinFunctionType)

_TABLES = (
    ("optimizer.step_pre", _optimizer, "_global_optimizer_pre_hooks"),
    ("optimizer.step_post", _optimizer, "_global_optimizer_post_hooks"),
    ("module.forward_pre", _module, "_global_forward_pre_hooks"),
    ("module.forward", _module, "_global_forward_hooks"),
    ("module.backward_pre", _module, "_global_backward_pre_hooks"),
    ("module.backward", _module, "_global_backward_hooks"),
    ("module.register_parameter", _module, "_global_parameter_registration_hooks"),
    ("module.register_buffer", _module, "_global_buffer_registration_hooks"),
    ("module.register_module", _module, "_global_module_registration_hooks"),
)

_last: dict[str, Any] = {"signature": None, "digest": ZEROS, "hooks": {}}
_said: set[str] = set()


@guarded("inventory", lambda: ZEROS)
def digest(optimizer: Any) -> str:
    """The digest of the inventory; the inventory itself is said when a connection has not heard it."""
    own = bare.held(optimizer)
    tables = [(name, bare.items(bare.held(home).get(table))) for name, home, table in _TABLES]
    tables.append(("optimizer.own_pre", bare.items(own.get("_optimizer_step_pre_hooks"))))
    tables.append(("optimizer.own_post", bare.items(own.get("_optimizer_step_post_hooks"))))
    modes = modes_in_force()
    flags = _flags()
    signature = (
        [[(key, id(hook)) for key, hook in table] for _, table in tables],
        [(name, [id(mode) for mode in stack]) for name, stack in modes],
        flags,
    )
    if signature != _last["signature"]:
        hooks = {name: [name_of(hook) for _, hook in table[:MAX_NAMES]] for name, table in tables}
        hooks.update({name: [name_of(type(mode)) for mode in stack[:MAX_NAMES]] for name, stack in modes})
        hooks["flags"] = flags
        hooks = {name: found for name, found in hooks.items() if found}
        compact = json.dumps(hooks, separators=(",", ":"), sort_keys=True)
        _last.update(signature=signature, digest=hashlib.sha256(compact.encode("ascii")).hexdigest(), hooks=hooks)
    if _last["digest"] not in _said:
        _said.add(_last["digest"])
        session.say("inventory", {"inventory": _last["digest"], "hooks": _last["hooks"]})
    return str(_last["digest"])


def modes_in_force() -> list[tuple[str, list[Any]]]:
    """The function and dispatch modes, and the hooks of saved tensors, innermost last."""
    function = [torch._C._get_function_stack_at(i) for i in range(torch._C._len_torch_function_stack())]
    dispatch = [torch._C._get_dispatch_stack_at(i) for i in range(torch._C._len_torch_dispatch_stack())]
    own = session.loaded(str(__package__) + ".transcript")
    if own is not None:  # in a replay alone: what it writes down has to be what is done without it
        dispatch = [mode for mode in dispatch if type(mode) is not own.Transcript]
    saved = torch._C._autograd._top_saved_tensors_default_hooks(True)
    return [("modes.function", function), ("modes.dispatch", dispatch), ("saved_tensors", list(saved or ()))]


def _flags() -> list[str]:
    return [
        "anomaly=%s" % torch.is_anomaly_enabled(),
        "autocast_cpu=%s" % torch.is_autocast_enabled("cpu"),
        "cudnn_benchmark=%s" % torch.backends.cudnn.benchmark,
        "default_dtype=%s" % torch.get_default_dtype(),
        "deterministic=%s" % torch.are_deterministic_algorithms_enabled(),
        "matmul_precision=%s" % torch.get_float32_matmul_precision(),
        "threads=%d" % torch.get_num_threads(),
    ]


def behind(hook: Any) -> Any:
    """The callable that one disabled for dynamo, a partial or a bound method stands for."""
    for _ in range(8):
        inner = _inner(hook)
        if inner is None:
            break
        hook = inner
    return hook


def _inner(hook: Any) -> Any:
    if type(hook) is types.MethodType:
        return hook.__func__
    if bare.is_a(hook, functools.partial):
        return functools.partial.func.__get__(hook)  # type: ignore[attr-defined]
    held = bare.held(hook)
    inner = held.get("_torchdynamo_orig_callable")
    return held.get("func") if inner is None else inner


def name_of(hook: Any) -> str:
    """The name under which a hook is said."""
    hook = behind(hook)
    if bare.is_a(hook, type):
        return text(bare.name_of(hook), MAX_NAME)
    if not bare.is_a(hook, _NAMED):
        return text(bare.name_of(type(hook)), MAX_NAME)
    return text("%s.%s" % (bare.word(hook.__module__) or None, bare.word(hook.__qualname__)), MAX_NAME)


session.forgetters.append(_said.clear)
