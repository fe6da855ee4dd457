"""The hooks, modes and flags in force as an update returns: their names, and one digest over them.

Rules: the recorder's own hooks are listed like any other, by name, so that one put before them or in their place shows;
names are worked out again only when something changed.
"""

# ruff: noqa: SLF001  (torch gives no public name to what is read here)

from __future__ import annotations

import hashlib
import json
from typing import Any

import torch
from torch.nn.modules import module as _module
from torch.optim import optimizer as _optimizer

from . import session
from .guard import guarded
from .plain import text

ZEROS = "0" * 64
MAX_NAMES = 64

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
    tables = [(name, getattr(home, table, {})) for name, home, table in _TABLES]
    tables.append(("optimizer.own_pre", getattr(optimizer, "_optimizer_step_pre_hooks", {})))
    tables.append(("optimizer.own_post", getattr(optimizer, "_optimizer_step_post_hooks", {})))
    modes = _modes()
    flags = _flags()
    signature = (
        [[(key, id(hook)) for key, hook in table.items()] for _, table in tables],
        [(name, [id(mode) for mode in stack]) for name, stack in modes],
        flags,
    )
    if signature != _last["signature"]:
        hooks = {name: [_name(hook) for hook in list(table.values())[:MAX_NAMES]] for name, table in tables}
        hooks.update({name: [_name(type(mode)) for mode in stack[:MAX_NAMES]] for name, stack in modes})
        hooks["flags"] = flags
        hooks = {name: found for name, found in hooks.items() if found}
        compact = json.dumps(hooks, separators=(",", ":"), sort_keys=True)
        _last.update(signature=signature, digest=hashlib.sha256(compact.encode("ascii")).hexdigest(), hooks=hooks)
    if _last["digest"] not in _said:
        _said.add(_last["digest"])
        session.say("inventory", {"inventory": _last["digest"], "hooks": _last["hooks"]})
    return str(_last["digest"])


def _modes() -> list[tuple[str, list[Any]]]:
    function = [torch._C._get_function_stack_at(i) for i in range(torch._C._len_torch_function_stack())]
    dispatch = [torch._C._get_dispatch_stack_at(i) for i in range(torch._C._len_torch_dispatch_stack())]
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


def _name(hook: Any) -> str:
    for _ in range(8):  # disabled for dynamo, partial, or a method: the callable behind it
        inner = getattr(hook, "_torchdynamo_orig_callable", None) or getattr(hook, "func", None)
        if inner is None:
            break
        hook = inner
    module = getattr(hook, "__module__", None)
    return text("%s.%s" % (module, getattr(hook, "__qualname__", None) or type(hook).__qualname__), 200)


session.forgetters.append(_said.clear)
