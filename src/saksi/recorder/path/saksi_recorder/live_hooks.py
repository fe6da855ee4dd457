"""Who else has a say in a step: hooks of every kind, modes, replaced builtins, tracers and importers; and the flags.

Rules: hooks of one function on many modules or tensors are one place, with their number; the recorder's own are listed
like any other. What C++ registers with autograd, and audit hooks, nobody can list.
"""

# ruff: noqa: SLF001  (torch gives no public name to what is read here)

from __future__ import annotations

import builtins
import functools
import os
import sys
import types
from typing import Any, Iterator, Optional

import torch
from torch.nn.modules import module as _module

from . import inventory, modules, optimizers, session
from .live_subjects import MAX_NAME, Subject, file_of, tree
from .plain import text

MAX_TENSORS = 20_000
MAX_TOOLS = 6  # of sys.monitoring, by PEP 669

OF_OPTIMIZERS = (
    "_optimizer_step_pre_hooks",
    "_optimizer_step_post_hooks",
    "_optimizer_state_dict_pre_hooks",
    "_optimizer_state_dict_post_hooks",
    "_optimizer_load_state_dict_pre_hooks",
    "_optimizer_load_state_dict_post_hooks",
)
OF_MODULES = (
    "_forward_pre_hooks",
    "_forward_hooks",
    "_backward_pre_hooks",
    "_backward_hooks",
    "_state_dict_pre_hooks",
    "_state_dict_hooks",
    "_load_state_dict_pre_hooks",
    "_load_state_dict_post_hooks",
)
OF_TENSORS = ("_backward_hooks", "_post_accumulate_grad_hooks")

_OF_C = (types.BuiltinFunctionType, type, types.ModuleType)
_STANDARD = frozenset(dir(types.ModuleType("x")))
_OWN_WORDS = frozenset(("exit", "quit", "copyright", "credits", "license", "help", "_", "__doc__", "__name__"))
_OF_PYTHON = ("_frozen_importlib", "_frozen_importlib_external", "importlib._bootstrap_external", "zipimport")
_VARIABLES = ("NVIDIA_TF32_OVERRIDE", "CUBLAS_WORKSPACE_CONFIG", "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE")
_FLAGS = (
    ("deterministic", "are_deterministic_algorithms_enabled"),
    ("deterministic_warn_only", "is_deterministic_algorithms_warn_only_enabled"),
    ("fill_uninitialized_memory", "utils.deterministic.fill_uninitialized_memory"),
    ("matmul_precision", "get_float32_matmul_precision"),
    ("default_dtype", "get_default_dtype"),
    ("threads", "get_num_threads"),
    ("anomaly", "is_anomaly_enabled"),
    ("mkldnn", "_C._get_mkldnn_enabled"),
    ("cudnn", "_C._get_cudnn_enabled"),
    ("cudnn_benchmark", "_C._get_cudnn_benchmark"),
    ("cudnn_deterministic", "_C._get_cudnn_deterministic"),
    ("cudnn_tf32", "_C._get_cudnn_allow_tf32"),
    ("matmul_tf32", "_C._get_cublas_allow_tf32"),
    ("matmul_fp16_reduction", "_C._get_cublas_allow_fp16_reduced_precision_reduction"),
    ("matmul_bf16_reduction", "_C._get_cublas_allow_bf16_reduced_precision_reduction"),
    ("matmul_fp16_accumulation", "_C._get_cublas_allow_fp16_accumulation"),
    ("flash_attention", "_C._get_flash_sdp_enabled"),
    ("memory_efficient_attention", "_C._get_mem_efficient_sdp_enabled"),
    ("math_attention", "_C._get_math_sdp_enabled"),
)
"""Each under torch: what is called is a reader, and starts no device."""


def listed() -> Iterator[tuple[Subject, int, str]]:
    """Every hook and the like: the place, on how many objects it is, and the name of the first."""
    grouped: dict[tuple[str, int], list[Any]] = {}
    for kind, owner, first, hook in _hooks():
        function = _function_of(hook)
        key = kind, id(getattr(function, "__code__", function))
        if key in grouped:
            grouped[key][1] += 1
        else:
            name = text("%s: %s" % (kind, inventory._name(hook)), MAX_NAME)
            grouped[key] = [Subject("hook", name, owner, (), hook), 1, first]
    for subject, count, first in grouped.values():
        yield subject, count, first
    for subject in (*_modes(), *_builtins(), *_tracers(), *_importers()):
        yield subject, 1, ""


def _function_of(hook: Any) -> Any:
    for _ in range(8):
        inner = getattr(hook, "__func__", None) or getattr(hook, "func", None)
        if inner is None:
            return hook
        hook = inner
    return hook


def _hooks() -> Iterator[tuple[str, Any, str, Any]]:
    of_module, of_optimizer = file_of("torch.nn.modules.module"), file_of("torch.optim.optimizer")
    for kind, home, table in inventory._TABLES:
        owner = of_module if home is _module else of_optimizer
        for hook in list(getattr(home, table, {}).values()):
            yield kind, owner, "", hook
    for ordinal, optimizer in optimizers.living():
        for table in OF_OPTIMIZERS:
            for hook in list((getattr(optimizer, table, None) or {}).values()):
                yield "optimizer " + table.strip("_"), of_optimizer, "optimizer %d" % ordinal, hook
    for ordinal, name, one in tree():
        held = vars(one)
        for table in OF_MODULES:
            if held.get(table):
                where = ("module %d %s" % (ordinal, name)).rstrip()
                for hook in list(held[table].values()):
                    yield "module " + table.strip("_"), of_module, where, hook
    yield from _of_tensors(file_of("torch._tensor"))


def _of_tensors(owner: Any) -> Iterator[tuple[str, Any, str, Any]]:
    seen: set[int] = set()
    for number, (name, tensor) in enumerate(_tensors()):
        if number >= MAX_TENSORS:
            session.uncovered("hooks of parameters", "more than %d parameters" % MAX_TENSORS)
            return
        if id(tensor) in seen:
            continue
        seen.add(id(tensor))
        for table in OF_TENSORS:
            held = getattr(tensor, table, None)
            if held:
                for hook in list(held.values()):
                    yield "parameter " + table.strip("_"), owner, name, hook


def _tensors() -> Iterator[tuple[str, Any]]:
    for _, top in modules.top_level():
        yield from top.named_parameters()
    for ordinal, optimizer in optimizers.living():
        for place, group in enumerate(optimizer.param_groups):
            for index, one in enumerate(group["params"]):
                yield "%d/%d/%d" % (ordinal, place, index), one


def _modes() -> Iterator[Subject]:
    names = {"modes.function": "__torch_function__", "modes.dispatch": "__torch_dispatch__"}
    for kind, stack in inventory._modes():
        for one in stack:
            if kind == "saved_tensors":
                yield Subject("hook", text("%s: %s" % (kind, inventory._name(one)), MAX_NAME), None, (), one)
                continue
            function = next((k.__dict__[names[kind]] for k in type(one).__mro__ if names[kind] in k.__dict__), None)
            name = text("%s: %s" % (kind, inventory._name(type(one))), MAX_NAME)
            yield Subject("mode", name, file_of("torch.overrides"), (), function)


def _builtins() -> Iterator[Subject]:
    for name, value in list(vars(builtins).items()):
        if callable(value) and not isinstance(value, _OF_C) and name not in _OWN_WORDS and name not in _STANDARD:
            yield Subject("builtin", text("builtins." + name, MAX_NAME), None, (), value)


def _tracers() -> Iterator[Subject]:
    for name, value in (("sys.settrace", sys.gettrace()), ("sys.setprofile", sys.getprofile())):
        if value is not None:
            yield Subject("tracer", text("%s: %s" % (name, inventory._name(value)), MAX_NAME), None, (), value)
    monitoring = getattr(sys, "monitoring", None)
    for tool in range(MAX_TOOLS) if monitoring is not None else ():
        name = monitoring.get_tool(tool)
        if name is not None:
            yield Subject("tracer", text("sys.monitoring: %s" % name, MAX_NAME), None, (), None)


def _importers() -> Iterator[Subject]:
    for table, held in (("sys.meta_path", sys.meta_path), ("sys.path_hooks", sys.path_hooks)):
        for one in list(held):
            kind = one if isinstance(one, (type, types.FunctionType)) else type(one)
            if kind.__module__ not in _OF_PYTHON:
                find = getattr(kind, "find_spec", None) or one
                yield Subject("importer", text("%s: %s" % (table, inventory._name(kind)), MAX_NAME), None, (), find)


def flags() -> dict[str, str]:
    """What decides about precision and determinism, as far as this version of torch tells."""
    out = {name: _flag(place) for name, place in _FLAGS}
    out.update((name, text(os.environ[name], 80)) for name in _VARIABLES if name in os.environ)
    return {name: value for name, value in out.items() if value is not None}


def _flag(place: str) -> Optional[str]:
    try:
        held = functools.reduce(getattr, place.split("."), torch)
        return text(held() if callable(held) else held, 80)
    except Exception:  # a version without it, or one that refuses to say while the newer names are in use
        return None
