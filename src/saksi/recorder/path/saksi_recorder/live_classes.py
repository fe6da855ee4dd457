"""The classes in use, the modules that they are written in, and whose these are.

Rules: where a class is written is told by its functions (the file of their code, the module in which they look names
up), and only of one that has none by what it says of itself.
"""

# ruff: noqa: PTH120  (plain os: light, and also what old interpreters know)

from __future__ import annotations

import abc
import builtins
import collections.abc
import os
import sys
import types
import typing
import weakref
from typing import Any, Optional

import torch

from . import bare, live_tree, optimizers, pieces, session

WHOLE = (
    "torch",
    "torch.nn.functional",
    "torch.nn.init",
    "torch.nn.modules.loss",
    "torch.nn.utils.clip_grad",
    "torch.autograd",
    "torch.optim.optimizer",
    "torch.random",
    "torch.amp.grad_scaler",
    "torch.utils.data._utils.collate",
    "torch.utils.data._utils.fetch",
    "torch.utils.data.sampler",
)
"""Modules of which every function counts, and of all but the first every class."""
CLASSES = (
    ("torch", "Tensor"),
    ("torch.nn", "Module"),
    ("torch.nn", "Parameter"),
    ("torch.autograd", "Function"),
    ("torch.utils.data", "DataLoader"),
    ("torch.utils.data.dataloader", "_BaseDataLoaderIter"),
    ("torch.utils.data.dataloader", "_SingleProcessDataLoaderIter"),
    ("torch.utils.data.dataloader", "_MultiProcessingDataLoaderIter"),
    ("random", "Random"),
)
SCHEDULERS = "torch.optim.lr_scheduler"
PLAIN_BASES = frozenset(
    id(one)
    for home in (builtins, typing, abc, collections.abc)
    for one in list(vars(home).values())
    if isinstance(one, type)
)
"""What classes inherit from Python itself, by number."""
TORCH = os.path.dirname(torch.__file__) + os.sep
_LIBRARY = os.path.dirname(os.__file__) + os.sep
_OURS = os.path.dirname(__file__) + os.sep

_script = bare.word(bare.held(session.loaded("__main__")).get("__file__"))
"""Python takes the name away again when the script has come to its end, before the last inventory."""
_known_classes: dict[str, tuple[int, list[Any]]] = {}


def classes_of(name: str) -> list[type]:
    """The classes that a module defines, looked for again only when it holds another number of things."""
    held = bare.held(session.loaded(name))
    count, known = _known_classes.get(name, (-1, []))
    found = [one for one in (reference() for reference in known) if one is not None]
    if count != len(held) or len(found) != len(known):
        found = [one for one in list(held.values()) if bare.is_a(one, type) and bare.module_of(one) == name]
        _known_classes[name] = len(held), [weakref.ref(one) for one in found]
    return found


def file_of(module: str) -> Optional[str]:
    """The source file of a module, if it is loaded and has one."""
    found = bare.word(bare.held(session.loaded(module)).get("__file__"))
    if not found and module == "__main__":
        found = _script
    return pieces.absolute(found) if found.endswith(".py") else None


def classes_in_use() -> list[type]:
    """Those in use: of optimizers, of models and their parameters, of data; and those that everything stands on."""
    walk = live_tree.walk()
    if walk.classes is None:
        walk.classes = _classes_now(walk)
    return walk.classes


def _classes_now(walk: live_tree.Walk) -> list[type]:
    found: list[type] = []
    for module, name in CLASSES:
        one = bare.held(session.loaded(module)).get(name)
        if bare.is_a(one, type):
            found.append(one)
    used = [one for _, one in optimizers.living()]
    used += [one for _, _, one in walk.modules]
    used += [one for _, one in walk.tensors]
    used += [one for _, loader in live_tree.loaders() for one in (loader, *live_tree.parts_of(loader).values())]
    for kind in bare.once(type(one) for one in used):
        found.extend(bare.mro(kind))
    return [one for one in bare.once(found) if id(one) not in PLAIN_BASES and not bare.is_fixed(one)]


def modules_of(classes: list[type]) -> list[str]:
    """The modules in which the optimizers in use are written, and those outside of torch of every class in use."""
    names: dict[str, None] = {}
    for _, optimizer in optimizers.living():
        names.update((home_of(one), None) for one in bare.mro(type(optimizer)) if one is not object)
        groups = bare.each(bare.held(optimizer).get("param_groups"))
        if any("initial_lr" in dict(bare.items(group)) for group in groups):
            names[SCHEDULERS] = None
    names.update((home_of(one), None) for one in classes if not is_of_a_framework(one))
    return [name for name in names if name not in WHOLE]


def home_of(kind: type) -> str:
    """The module of a class: that in which its functions look names up, whatever the class says of itself."""
    function = _first_function(kind)
    if function is not None and pieces.has_a_modules_globals(function):
        return bare.word(dict.get(function.__globals__, "__name__"))
    return bare.module_of(kind)


def _first_function(kind: type) -> Any:
    values = list(bare.attributes(kind).values())
    for one in values:
        if type(one) is types.FunctionType and not (pieces.file_of(one.__code__) or _OURS).startswith(_OURS):
            return one
    return None


def is_of_a_framework(kind: type) -> bool:
    """By the file of its code; where it has none, by what it says of itself."""
    function = _first_function(kind)
    if function is not None:
        file = pieces.file_of(function.__code__) or ""
        return file.startswith((TORCH, _OURS)) or is_of_python(file) or _is_numpys(file)
    top = bare.module_of(kind).partition(".")[0]
    return top in ("torch", "numpy", "saksi_recorder") or top in getattr(sys, "stdlib_module_names", ())


def is_torchs(name: str) -> bool:
    """Whether a module lies in torch's folder."""
    return (file_of(name) or "").startswith(TORCH)


def _is_numpys(file: str) -> bool:
    numpy = file_of("numpy")
    return numpy is not None and file.startswith(numpy.rpartition(os.sep)[0] + os.sep)


def is_of_python(file: Optional[str]) -> bool:
    """Whether a file is one of Python's own library."""
    return file is not None and file.startswith(_LIBRARY) and "-packages" not in file
