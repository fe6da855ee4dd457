"""The models, their tensors and the loaders as one inventory meets them, and whose turn it is to be looked at.

Rules: the first inventory looks at everything up to a limit that is said where it is met; each later one takes turns,
so that a model of many modules costs no more than one of a few thousand. Nothing of the user is kept afterwards;
threads and forked children walk for themselves.
"""

# ruff: noqa: SLF001  (torch gives no public name to what is read here)

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import Any, Iterator, Optional, TypeVar

import torch

from . import bare, batches, modules, optimizers, session

MAX_MODULES = 20_000
MAX_TENSORS = 20_000
SHARE = 2_048
"""Modules, or tensors, that a later inventory looks at: 50 microseconds for each of the first kind."""

One = TypeVar("One")
_local = threading.local()


class Walk:
    """What one inventory meets. `rounds` is how many of them it takes until everything has had its turn."""

    def __init__(self, turn: int) -> None:
        self.modules = _limited(_modules(), MAX_MODULES, "modules")
        self.rounds = 1
        self.classes: Optional[list[type]] = None  # those in use, once somebody has gathered them
        self._first = turn == 0
        self._turn = self._number = turn
        self.looked_at = self._share(self.modules)
        self.tensors = self._share(_limited(self._tensors(), MAX_TENSORS, "parameters"))

    def _share(self, many: list[One]) -> list[One]:
        """All of them the first time, then those whose turn it is."""
        shares = max(1, -(-len(many) // SHARE))
        if self._first:
            return many
        turn, self._turn = self._turn % shares, self._turn // shares  # of each share of modules, every share of tensors
        self.rounds *= shares
        return many[turn::shares]

    def of_classes(self, many: list[One]) -> list[One]:
        """Those of many classes whose turn it is: parametrized and traced modules have a class for each."""
        shares = max(1, -(-len(many) // SHARE))
        if self._first or shares == 1:
            return many
        self.rounds = max(self.rounds, shares)
        return many[self._number % shares :: shares]

    def _tensors(self) -> Iterator[tuple[str, Any]]:
        seen: set[int] = set()
        for _, prefix, one in self.looked_at:
            for name, tensor in modules.own_parameters(one, prefix):
                if id(tensor) not in seen:
                    seen.add(id(tensor))
                    yield name, tensor
        for name, tensor in _of_optimizers():
            if id(tensor) not in seen:
                seen.add(id(tensor))
                yield name, tensor


@contextmanager
def walked(turn: int) -> Iterator[Walk]:
    """Inside, the models are walked through once, whoever asks; nothing of them is kept afterwards."""
    _local.walk = walk = Walk(turn)
    try:
        yield walk
    finally:
        _local.walk = None


def walk() -> Walk:
    """That of this thread. Call inside `walked`."""
    found: Walk = _local.walk
    return found


def loaders() -> list[tuple[int, Any]]:
    """The DataLoaders that were iterated and still exist, by number."""
    return sorted(((known[0], one) for one, known in list(batches._loaders.items())), key=lambda pair: pair[0])


def parts_of(loader: Any) -> dict[str, Any]:
    """What a loader takes its samples from, by the name that it has for it."""
    held = bare.held(loader)
    named = {name: held.get(name) for name in ("dataset", "sampler", "batch_sampler")}
    return {name: one for name, one in named.items() if one is not None}


def _modules() -> Iterator[tuple[int, str, Any]]:
    for ordinal, top in modules.top_level():
        for name, one in modules.within(top):
            yield ordinal, name, one


def _of_optimizers() -> Iterator[tuple[str, Any]]:
    for ordinal, optimizer in optimizers.living():
        for place, group in enumerate(bare.each(bare.held(optimizer).get("param_groups"))):
            for index, one in enumerate(bare.each(dict(bare.items(group)).get("params"))):
                if not bare.is_a(one, torch.Tensor):
                    continue
                yield "%d/%d/%d" % (ordinal, place, index), one


def _limited(many: Iterator[One], most: int, what: str) -> list[One]:
    found: list[One] = []
    for one in many:
        if len(found) == most:
            session.uncovered("the code of further %s" % what, "more than %d" % most)
            break
        found.append(one)
    return found
