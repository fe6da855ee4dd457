"""What an inventory has met, in rows that a glance compares.

Rules: what stands in torch's own modules for everybody may be kept, everything else is referred to weakly; where there
are many of a kind some are looked at in turn, but what all objects share, optimizers and torch's code each time.
"""

# ruff: noqa: SLF001  (torch gives no public name to what is read here)

from __future__ import annotations

import builtins
import types
import weakref
from typing import Any, Callable, Iterator, TypeVar

import torch

from . import (
    bare,
    conditions,
    inventory,
    kept_words,
    live_hooks,
    live_names,
    live_objects,
    live_tree,
    optimizers,
    pieces,
    schedules,
    session,
)
from .kept_words import HAVE_VERSIONS, identities
from .live_classes import TORCH, is_torchs
from .live_rows import (
    GONE,
    Held,
    Holders,
    Key,
    Made,
    Named,
    Own,
    Places,
    Row,
    Sizes,
    Source,
    Tables,
    modules_in,
    of_functions,
    own_of,
)
from .owners import Owner

ROUND = 3
"""Glances in which everything is looked at once: what is changed is found two updates later at most."""
MOST = 8_192
"""Objects of a kind, and functions; what is beyond is left to the inventories."""

One = TypeVar("One")
Owners = dict[tuple[str, str], tuple[int, Owner]]


class Met:
    """What was met. What all objects share, and optimizers, are looked at each time, of the rest a third in turn."""

    def __init__(self, owners: Owners) -> None:
        held, own, others, named = _of_owners(owners)
        others += _behind_singles()
        elsewhere = [*_modules_kept(owners), *_singles()]
        first, objects = _objects()
        tables, tensors = _tables_of_objects(), _tensors()
        flags = {"flag %d" % number: one for number, one in enumerate(live_hooks.readers())}
        self._always = [Single({"modes": _modes, "kernels": _kernels}), _of_all(), Sizes(first)]
        if HAVE_VERSIONS:
            self._always.append(Holders(held))
        self._turns: list[list[Any]] = [
            [
                *of_functions(own[at::ROUND], others[at::ROUND]),
                Places(named[at::ROUND]),
                Places(elsewhere[at::ROUND], kept=True),
                Sizes(objects[at::ROUND]),
                Tables(tables[at::ROUND]),
                _of_tensors(tensors[at::ROUND]),
                *([] if HAVE_VERSIONS else [Holders(held[at::ROUND])]),
            ]
            for at in range(ROUND)
        ]
        self._turns[0].append(Single(flags))
        self._turns[1].append(Single({"builtins": _builtins}))
        self._turns[2].append(Single({"conditions": conditions.seen}))

    def changed(self, turn: int) -> list[Key]:
        """What differs from what was met, as far as it is looked at this time."""
        return [key for row in (*self._always, *self._turns[turn % ROUND]) for key in row.changed()]


class Single:
    """What there is once, by name, and what reads it."""

    def __init__(self, readers: dict[str, Callable[[], Any]]) -> None:
        self._readers = readers
        self._was = self._read()

    def _read(self) -> list[Any]:
        return [_reading(one) for one in self._readers.values()]

    def changed(self) -> list[Key]:
        """What of it is not as it was."""
        now = self._read()
        if now == self._was:
            return []
        was, self._was = self._was, now
        told = zip(self._readers, was, now)  # noqa: B905  (strict= is newer than Python 3.9)
        return [("single", name) for name, before, found in told if before != found]


def _reading(reader: Callable[[], Any]) -> Any:
    try:
        return reader()
    except RuntimeError:  # a flag of which torch does not say while newer names for it are in use
        return None


def _modes() -> Any:
    """Most of the time there are none: then nothing is asked of them."""
    if torch._C._len_torch_function_stack() or torch._C._len_torch_dispatch_stack():
        found = [list(map(id, stack)) for _, stack in inventory.modes_in_force()]
        return found if any(found) else None
    saved = torch._C._autograd._top_saved_tensors_default_hooks(True)
    return None if saved is None else [[], [], list(map(id, saved))]


def _kernels() -> int:
    """How many kernels torch's library has noted."""
    return len(getattr(session.loaded("torch.library"), "_impls", ()))


def _builtins() -> bytes:
    return identities(tuple(vars(builtins).values()))


def _of_owners(owners: Owners) -> tuple[list[Held], list[Made], list[Made], list[Named]]:
    """Torch's modules and classes; functions of its code, and others; what stands under names in other owners."""
    held: list[Held] = []
    named: list[Named] = []
    functions: dict[int, tuple[Key, Any, bool]] = {}
    for (place, name), (_, owner) in list(owners.items()):
        one = owner.of()
        if one is None:
            continue
        is_own = _is_torchs_own(place, name, one)
        if is_own:
            held.append(Held((place, name), owner, bare.attributes(one) if place == "class" else bare.held(one)))
        else:
            named.append(_named(place, name, owner, one))
        for function in owner.functions():
            torchs = is_own and (pieces.file_of(function.__code__) or "").startswith(TORCH)
            functions.setdefault(id(function), ((place, name), function, torchs))
    made = list(functions.values())[:MOST]
    own = [(key, one) for key, one, torchs in made if torchs]
    return held, own, [(key, one) for key, one, torchs in made if not torchs], named


def _is_torchs_own(place: str, name: str, one: Any) -> bool:
    """Whether it stands in one of torch's modules under its own name, so that it goes with torch alone."""
    if place == "module":
        return is_torchs(name) and session.loaded(name) is one
    module = bare.module_of(one)
    return is_torchs(module) and bare.held(session.loaded(module)).get(bare.qualname_of(one)) is one


def _named(place: str, name: str, owner: Owner, one: Any) -> Named:
    words = [key[len(name) + 1 :] for _, key in owner.keys.values()]
    if place == "module":
        return (place, name), _source_of(bare.held(one)), [*words, *modules_in(bare.held(one))]
    reference = weakref.ref(one)

    def source() -> Any:
        kind = reference()
        return None if kind is None else bare.attributes(kind)

    return (place, name), source, words


def _source_of(table: Any) -> Source:
    return lambda: table


def _modules_kept(owners: Owners) -> Iterator[Named]:
    """Where torch's modules that classes in use look names up in keep other modules."""
    for name in live_names.looked_up_in():
        table = bare.held(session.loaded(name))
        if ("module", name) not in owners and is_torchs(name):
            yield ("constant", name), _source_of(table), modules_in(table)


def _singles() -> Iterator[Named]:
    for name, wanted in live_names.PARTS.items():
        table = bare.held(session.loaded(name))
        yield ("module", name), _source_of(table), [word for word in wanted if word in table]
    for name, word, ours, behind in live_names.BEHIND_OURS:
        table = bare.held(session.loaded("%s.%s" % (__package__, ours)))
        yield ("module", "%s.%s" % (name, word)), _source_of(table), [behind] if behind in table else []


def _behind_singles() -> list[Made]:
    return [
        (("module", name), function)
        for name, wanted in live_names.PARTS.items()
        for word in wanted
        for function in pieces.functions_of(bare.held(session.loaded(name)).get(word))
    ]


def _objects() -> tuple[list[Own], list[Own]]:
    """What carries something itself: optimizers, schedules; modules, tensors, loaders, what these take samples from."""
    optimizing = {id(one) for _, one in (*optimizers.living(), *schedules.living())}
    first: list[Own] = []
    others: list[Own] = []
    for one, _ in live_objects.of_objects():
        own = own_of(("object", id(one)), one)
        if own is not None and len(others) < MOST:
            (first if id(one) in optimizing else others).append(own)
    return first, others


def _of_all() -> Any:
    """The tables of hooks that all objects share."""
    tables: list[Made] = [(("hooks", name), bare.held(home).get(table)) for name, home, table in inventory._TABLES]
    known = [(key, table) for key, table in tables if bare.is_a(table, dict)]
    if not HAVE_VERSIONS:
        return Tables(known)
    return Row([key for key, _ in known], *kept_words.of_dictionaries([table for _, table in known]))


def _tables_of_objects() -> list[Made]:
    """Of optimizers, modules and tensors."""
    found: list[Made] = []
    for _, optimizer in optimizers.living():
        held = bare.held(optimizer)
        found += [(("hooks", (table, id(optimizer))), held.get(table)) for table in live_hooks.OF_OPTIMIZERS]
    for _, _, one in live_tree.walk().looked_at[:MOST]:
        held = bare.held(one)
        found += [(("hooks", (table, id(one))), held.get(table)) for table in live_hooks.OF_MODULES]
    slots = _slots()
    return found + [(("hooks", id(one)), slot(one)) for one in _tensors() for slot in slots]


def _tensors() -> list[Any]:
    return [one for _, one in live_tree.walk().tensors[:MOST]]


def _slots() -> list[Any]:
    """What gives a tensor's tables of hooks, whatever its class puts over them."""
    found = [bare.found(torch.Tensor, table) for table in live_hooks.OF_TENSORS]
    return [slot.__get__ for slot in found if bare.is_a(slot, types.GetSetDescriptorType)]


def _of_tensors(tensors: list[Any]) -> Row:
    """Whether the same tables of hooks are on each of some tensors; most have none."""
    keys: list[Key] = [("hooks", id(one)) for one in tensors]
    references = [weakref.ref(one) for one in tensors]
    slots = _slots()

    def read() -> bytes:
        alive = [reference() for reference in references]
        return identities(tuple([GONE if one is None else slot(one) for slot in slots for one in alive]))

    return Row(keys * len(slots), read)
