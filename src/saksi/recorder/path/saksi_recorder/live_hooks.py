"""Who else has a say in a step: hooks of every kind, modes, replaced builtins, tracers and importers; and the flags.

Rules: hooks of one function on many modules or tensors are one place, with their number; the recorder's own are listed
like any other; none of them is asked for anything. What C++ registers with autograd, and audit hooks, nobody can list.
"""

# ruff: noqa: SLF001  (torch gives no public name to what is read here)

from __future__ import annotations

import _signal
import builtins
import functools
import gc
import importlib.machinery
import os
import signal
import sys
import types
from typing import Any, Iterator, Optional

import torch
from torch.nn.modules import module as _module

from . import bare, conditions, inventory, live_tree, optimizers
from .live_classes import PLAIN_BASES, file_of
from .live_subjects import MAX_NAME, Subject
from .plain import text

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

_OF_C = (types.BuiltinFunctionType, types.ModuleType)
_STANDARD = frozenset(dir(types.ModuleType("x")))
_OWN_WORDS = frozenset(("exit", "quit", "copyright", "credits", "license", "help", "_", "__doc__", "__name__"))
_OF_PYTHON = frozenset(
    id(one)
    for one in (*vars(importlib.machinery).values(), getattr(sys.modules.get("zipimport"), "zipimporter", None))
    if isinstance(one, type)
)
_OF_FOLDERS = importlib.machinery.FileFinder.path_hook.__func__.__code__.co_consts  # type: ignore[attr-defined]
"""Python's own importers, by number, and the code of what it makes for folders."""
_SIGNALS = sorted(signal.valid_signals())
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


Hook = tuple[str, Any, str, Any]
"""Its kind, the file of what calls it, the object that it is on, and itself."""


def listed(hooks: list[Hook]) -> Iterator[tuple[Subject, int, str]]:
    """The places of hooks, on how many objects each is, and the name of the first.

    Where only some objects had their turn, nobody knows on how many it is: then that is 0.
    """
    grouped: dict[tuple[str, int], list[Any]] = {}
    for kind, owner, first, hook in hooks:
        function = inventory.behind(hook)
        key = kind, id(function.__code__ if type(function) is types.FunctionType else function)
        if key in grouped:
            grouped[key][1] += 1
        else:
            name = text("%s: %s" % (kind, inventory.name_of(hook)), MAX_NAME)
            grouped[key] = [Subject("hook", name, owner, (), hook), 1, first]
    whole = live_tree.walk().rounds == 1
    for subject, count, first in grouped.values():
        yield subject, count if whole else 0, first


def singles() -> tuple[Iterator[Subject], ...]:
    """Modes, builtins, tracers and importers: each kind on its own, so that one that fails costs itself only."""
    return _modes(), _builtins(), _tracers(), _importers()


def kinds() -> tuple[Iterator[Hook], ...]:
    """Every hook: those of each kind of object on their own, so that one that fails costs itself only."""
    of_module, of_optimizer = file_of("torch.nn.modules.module"), file_of("torch.optim.optimizer")
    return (
        _of_all(of_module, of_optimizer),
        _of_optimizers(of_optimizer),
        _of_modules(of_module),
        _of_tensors(file_of("torch._tensor")),
    )


def _of_all(of_module: Any, of_optimizer: Any) -> Iterator[Hook]:
    for kind, home, table in inventory._TABLES:
        owner = of_module if home is _module else of_optimizer
        for hook in bare.values(bare.held(home).get(table)):
            yield kind, owner, "", hook


def _of_optimizers(of_optimizer: Any) -> Iterator[Hook]:
    for ordinal, optimizer in optimizers.living():
        for table in OF_OPTIMIZERS:
            for hook in bare.values(bare.held(optimizer).get(table)):
                yield "optimizer " + table.strip("_"), of_optimizer, "optimizer %d" % ordinal, hook


def _of_modules(of_module: Any) -> Iterator[Hook]:
    for ordinal, name, one in live_tree.walk().looked_at:
        held = bare.held(one)
        for table in OF_MODULES:
            hooks = bare.values(held.get(table)) if table in held else ()
            if hooks:
                where = ("module %d %s" % (ordinal, name)).rstrip()
                for hook in hooks:
                    yield "module " + table.strip("_"), of_module, where, hook


def _of_tensors(owner: Any) -> Iterator[Hook]:
    tables = [(table, bare.found(torch.Tensor, table)) for table in OF_TENSORS]
    tables = [(table, slot) for table, slot in tables if bare.is_a(slot, types.GetSetDescriptorType)]
    for name, tensor in live_tree.walk().tensors:
        for table, slot in tables:
            for hook in bare.values(slot.__get__(tensor)):  # torch's own slot, whatever the tensor's class puts over it
                yield "parameter " + table.strip("_"), owner, name, hook


def _modes() -> Iterator[Subject]:
    names = {"modes.function": "__torch_function__", "modes.dispatch": "__torch_dispatch__"}
    for kind, stack in inventory.modes_in_force():
        for one in stack:
            if kind == "saved_tensors":
                yield Subject("hook", text("%s: %s" % (kind, inventory.name_of(one)), MAX_NAME), None, (), one)
                continue
            function = bare.found(type(one), names[kind])
            name = text("%s: %s" % (kind, bare.name_of(type(one))), MAX_NAME)
            yield Subject("mode", name, file_of("torch.overrides"), (), function)


def _builtins() -> Iterator[Subject]:
    for name, value in list(vars(builtins).items()):
        if not callable(value) or bare.is_a(value, _OF_C) or id(value) in PLAIN_BASES:
            continue
        if name not in _OWN_WORDS and name not in _STANDARD:
            yield Subject("builtin", text("builtins." + name, MAX_NAME), None, (), value)


def _tracers() -> Iterator[Subject]:
    called = [("sys.settrace", sys.gettrace()), ("sys.setprofile", sys.getprofile())]
    called += [("gc.callbacks", one) for one in bare.each(gc.callbacks)]
    called += [("signal %d" % number, _signal.getsignal(number)) for number in _SIGNALS]  # `signal` asks what it finds
    for name, value in called:
        if value is not None and not bare.is_a(value, (*_OF_C, int)):
            yield Subject("tracer", text("%s: %s" % (name, inventory.name_of(value)), MAX_NAME), None, (), value)
    monitoring = getattr(sys, "monitoring", None)
    for tool in range(MAX_TOOLS) if monitoring is not None else ():
        name = monitoring.get_tool(tool)
        if name is not None:
            yield Subject("tracer", text("sys.monitoring: %s" % bare.word(name), MAX_NAME), None, (), None)


def _importers() -> Iterator[Subject]:
    for table, held in (("sys.meta_path", sys.meta_path), ("sys.path_hooks", sys.path_hooks)):
        for one in bare.each(held):
            if type(one) is types.FunctionType:
                if not any(one.__code__ is code for code in _OF_FOLDERS):
                    yield Subject("importer", text("%s: %s" % (table, inventory.name_of(one)), MAX_NAME), None, (), one)
                continue
            kind = one if bare.is_a(one, type) else type(one)
            if id(kind) not in _OF_PYTHON:
                find = bare.found(kind, "find_spec")
                name = text("%s: %s" % (table, bare.name_of(kind)), MAX_NAME)
                yield Subject("importer", name, None, (), one if find is None else find)


def readers() -> list[Any]:
    """What gives the flags of `flags` that every version has, one by one and in less than a microsecond."""
    found = [
        functools.reduce(lambda one, word: getattr(one, word, None), place.split("."), torch) for _, place in _FLAGS
    ]
    return [one for one in found if type(one) is types.BuiltinFunctionType or type(one) is types.FunctionType]


def flags() -> dict[str, str]:
    """What decides about precision and determinism, as far as this version of torch tells, and what the kernel sets."""
    out = {name: _flag(place) for name, place in _FLAGS}
    out.update(conditions.conditions())
    out.update((name, text(os.environ[name], 80)) for name in _VARIABLES if name in os.environ)
    return {name: value for name, value in out.items() if value is not None}


def _flag(place: str) -> Optional[str]:
    try:
        held = functools.reduce(getattr, place.split("."), torch)
        return text(held() if callable(held) else held, 80)
    except Exception:  # a version without it, or one that refuses to say while the newer names are in use
        return None
