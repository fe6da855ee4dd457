"""What training executes, place by place: of torch's modules, of the classes in use, of the objects in use.

Rules: only what somebody else has loaded; nothing is imported, called or kept for it; a place is named by where it is
looked up, and with the file of the module that it belongs to, so that a reader can tell what is not at home there.
"""

# ruff: noqa: SLF001  (torch gives no public name to what is read here)

from __future__ import annotations

import sys
import types
import weakref
from contextlib import contextmanager
from typing import Any, Iterator, NamedTuple, Optional

import torch

from . import batches, modules, optimizers, session
from .code_digest import is_literal
from .pieces import CALLED
from .plain import text

MAX_SUBJECTS = 4096
MAX_NAME = 200
MAX_HOMES = 6

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
PARTS = {
    "torch.nn.utils": ("clip_grad_norm_", "clip_grad_value_"),
    "torch.serialization": ("save", "load", "_save", "_load", "_legacy_save", "_legacy_load"),
    "random": ("seed", "random", "shuffle", "sample", "randint", "randrange", "uniform", "choice"),
    "numpy.random": ("seed", "default_rng", "permutation", "shuffle", "rand", "randn", "randint"),
}
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
BEHIND_OURS = (
    ("torch.autograd", "backward", "gradients", "_original_backward"),
    ("torch.nn.utils.clip_grad", "clip_grad_norm_", "gradients", "_original_clip"),
    ("torch", "manual_seed", "generators", "_original_torch"),
    ("torch.serialization", "save", "files", "_original_save"),
    ("torch.serialization", "load", "files", "_original_load"),
    ("torch.optim.optimizer", "Optimizer.__init__", "optimizers", "_original"),
    ("torch.utils.data.dataloader", "_BaseDataLoaderIter.__next__", "batches", "_original_next"),
)
"""What our own wrappers call, under names that somebody else could change as well."""


OF_DYNAMO = ("__compiled_fn_", "__resume_at_")
"""What it puts into modules whose functions it compiles: no source looks them up."""
_SLOTS = (types.GetSetDescriptorType, types.MemberDescriptorType)


class Subject(NamedTuple):
    """One place. `homes` are where its function should have been written: a file, and a qualified name in it."""

    place: str
    name: str
    owner: Optional[str]
    homes: tuple[tuple[str, str], ...]
    value: Any


def owners() -> Iterator[tuple[str, Any, str]]:
    """The modules and classes of which everything counts: what it is, itself, and its name."""
    classes = _classes()
    for name in (*WHOLE, *_modules_of(classes)):
        module = session.loaded(name)
        if module is not None:
            yield "module", module, name
            if name != "torch":
                classes.extend(_classes_of(module, name))
    met: dict[str, int] = {}
    for one in dict.fromkeys(classes):
        name = "%s.%s" % (one.__module__, one.__qualname__)
        met[name] = met.get(name, 0) + 1
        yield "class", one, name if met[name] == 1 else "%s #%d" % (name, met[name])


def members(place: str, one: Any, name: str) -> Iterator[tuple[int, Subject]]:
    """The functions of a module or class, each with its number among everything that it holds."""
    if place == "module":
        file = file_of(name)
        for number, (attribute, value) in enumerate(list(vars(one).items())):
            if isinstance(value, types.FunctionType) and not attribute.startswith(OF_DYNAMO):
                homes = () if file is None else ((file, attribute),)
                yield number, Subject(place, text("%s.%s" % (name, attribute), MAX_NAME), file, homes, value)
        return
    file = file_of(one.__module__)
    above = [(file_of(base.__module__), base.__qualname__) for base in one.__mro__[:MAX_HOMES]]
    for number, (attribute, value) in enumerate(list(vars(one).items())):
        if isinstance(value, CALLED) and not isinstance(value, _SLOTS):
            found = tuple((where, "%s.%s" % (within, attribute)) for where, within in above if where is not None)
            yield number, Subject(place, text("%s.%s" % (name, attribute), MAX_NAME), file, found, value)


def others() -> Iterator[Subject]:
    """Single functions of modules, what stands behind the recorder's own, and what objects carry themselves."""
    for name, wanted in PARTS.items():
        module = session.loaded(name)
        if module is not None:
            held, file = vars(module), file_of(name)
            for attribute in wanted:
                if attribute in held:
                    homes = () if file is None else ((file, attribute),)
                    yield Subject("module", "%s.%s" % (name, attribute), file, homes, held[attribute])
    for name, attribute, ours, behind in BEHIND_OURS:
        value = getattr(session.loaded("%s.%s" % (__package__, ours)), behind, None)
        if value is not None:
            yield Subject("module", "%s.%s, behind the recorder's" % (name, attribute), file_of(name), (), value)
    for name in (*WHOLE[1:], *_modules_of([])):
        module = session.loaded(name)
        if module is not None and name.startswith("torch."):
            held, file = vars(module), file_of(name)
            for attribute in _constants_of(name, held):
                yield Subject("constant", "%s.%s" % (name, attribute), file, (), held.get(attribute))
    yield from _of_objects()


@contextmanager
def walked() -> Iterator[None]:
    """Inside, the models are walked through once, whoever asks; nothing of them is kept afterwards."""
    _tree.extend((ordinal, name, one) for ordinal, top in modules.top_level() for name, one in top.named_modules())
    try:
        yield
    finally:
        _tree.clear()


def tree() -> list[tuple[int, str, Any]]:
    """Every module of every model: the model's number, its name in it, and itself. Call inside `walked`."""
    return _tree


_tree: list[tuple[int, str, Any]] = []
_known_constants: dict[str, tuple[int, list[str]]] = {}


def _constants_of(name: str, held: dict[str, Any]) -> list[str]:
    """The names of what a module keeps that is a literal, looked for again only when it holds more or fewer things."""
    count, known = _known_constants.get(name, (-1, []))
    if count != len(held):
        known = [one for one, value in list(held.items()) if not one.startswith("__") and is_literal(value)]
        _known_constants[name] = len(held), known
    return known


_known_classes: dict[str, tuple[int, list[Any]]] = {}


def _classes_of(module: Any, name: str) -> list[type]:
    """The classes that a module defines, looked for again only when it holds another number of things."""
    held = vars(module)
    count, known = _known_classes.get(name, (-1, []))
    found = [one for one in (reference() for reference in known) if one is not None]
    if count != len(held) or len(found) != len(known):
        found = [one for one in list(held.values()) if isinstance(one, type) and one.__module__ == name]
        _known_classes[name] = len(held), [weakref.ref(one) for one in found]
    return found


def file_of(module: str) -> Optional[str]:
    """The source file of a module, if it is loaded and has one."""
    found = getattr(session.loaded(module), "__dict__", {}).get("__file__")
    return text(found) if isinstance(found, str) and found.endswith(".py") else None


def _classes() -> list[type]:
    """Those in use: of optimizers, of models, of data; and those that everything stands on."""
    found: list[type] = []
    for module, name in CLASSES:
        one = getattr(session.loaded(module), name, None)
        if isinstance(one, type):
            found.append(one)
    for _, optimizer in optimizers.living():
        found.extend(type(optimizer).__mro__)
    for kind in dict.fromkeys(type(one) for _, _, one in tree()):
        found.extend(kind.__mro__)
    for _, loader in loaders():
        for part in (loader, *_parts_of(loader).values()):
            found.extend(type(part).__mro__)
    return [one for one in dict.fromkeys(found) if one.__module__ not in ("builtins", "typing", "abc")]


def _modules_of(classes: list[type]) -> list[str]:
    """The modules in which the optimizers in use are written, and those outside of torch of every class in use."""
    names = {type(one).__module__: None for _, one in optimizers.living()}
    for _, optimizer in optimizers.living():
        names.update((one.__module__, None) for one in type(optimizer).__mro__ if one.__module__ != "builtins")
        if any("initial_lr" in group for group in optimizer.param_groups):
            names[SCHEDULERS] = None
    names.update((one.__module__, None) for one in classes if not _is_of_a_framework(one.__module__))
    return [name for name in names if name not in WHOLE]


def _is_of_a_framework(name: str) -> bool:
    top = name.partition(".")[0]
    return top in ("torch", "numpy", "collections", "saksi_recorder") or top in getattr(sys, "stdlib_module_names", ())


def loaders() -> list[tuple[int, Any]]:
    """The DataLoaders that were iterated and still exist, by number."""
    return sorted(((known[0], one) for one, known in list(batches._loaders.items())), key=lambda pair: pair[0])


def _parts_of(loader: Any) -> dict[str, Any]:
    held = vars(loader)
    named = {name: held.get(name) for name in ("dataset", "sampler", "batch_sampler")}
    return {name: one for name, one in named.items() if one is not None}


def _of_objects() -> Iterator[Subject]:
    for ordinal, optimizer in optimizers.living():
        yield from _of_object(optimizer, "optimizer %d" % ordinal)
    for ordinal, name, one in tree():
        yield from _of_object(one, ("module %d %s" % (ordinal, name)).rstrip())
    for number, loader in loaders():
        yield from _of_object(loader, "loader %d" % number)
        for name, part in _parts_of(loader).items():
            yield from _of_object(part, "loader %d %s" % (number, name))


def _of_object(one: Any, name: str) -> Iterator[Subject]:
    """What an object carries itself: in place of something of its class (`instance`), or beside it (`attribute`)."""
    kind = type(one)
    owner = file_of(kind.__module__)
    try:
        held = vars(one)
    except TypeError:
        return
    for attribute, value in list(held.items()):
        if callable(value) and not isinstance(value, (type, torch.nn.Module, torch.Tensor)):
            place = "instance" if hasattr(kind, attribute) else "attribute"
            yield Subject(place, text("%s.%s" % (name, attribute), MAX_NAME), owner, (), value)
