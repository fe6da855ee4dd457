"""What the objects in use carry themselves: optimizers, schedules, modules, parameters, loaders and their parts.

Rules: an object is never asked for anything; what it carries under the name of something that its class calls stands in
place of that.
"""

from __future__ import annotations

from typing import Any, Iterator

import torch

from . import bare, live_tree, optimizers, schedules
from .live_classes import file_of
from .live_subjects import MAX_NAME, Subject
from .pieces import CALLED
from .plain import text


def of_objects() -> Iterator[tuple[Any, str]]:
    """The objects of which what they carry themselves counts, with a name for each."""
    for ordinal, optimizer in optimizers.living():
        yield optimizer, "optimizer %d" % ordinal
    for ordinal, schedule in schedules.living():
        yield schedule, "schedule %d" % ordinal
    for ordinal, name, one in live_tree.walk().looked_at:
        yield one, ("module %d %s" % (ordinal, name)).rstrip()
    for name, one in live_tree.walk().tensors:
        yield one, "parameter " + name
    for number, loader in live_tree.loaders():
        yield loader, "loader %d" % number
        for name, part in live_tree.parts_of(loader).items():
            yield part, "loader %d %s" % (number, name)


def of_object(one: Any, name: str) -> Iterator[Subject]:
    """What an object carries itself: in place of something of its class (`instance`), or beside it (`attribute`)."""
    kind = type(one)
    owner = None
    for attribute, value in bare.items(bare.held(one)):
        if callable(value) and not bare.is_a(value, torch.Tensor):
            place = "instance" if _stands_instead(kind, attribute) else "attribute"
            if place == "attribute" and bare.is_a(value, (type, torch.nn.Module)):
                continue  # modules are looked at for themselves, and classes are kept for all kinds of ends
            if place == "attribute" and issubclass(kind, torch.Tensor):
                continue  # nothing of torch's asks for it: libraries keep loaders and the like on each parameter
            owner = owner or file_of(bare.module_of(kind))
            yield Subject(place, text("%s.%s" % (name, bare.word(attribute)), MAX_NAME), owner, (), value)


def _stands_instead(kind: type, attribute: str) -> bool:
    """Whether the class has something to call there. What torch's `Module` leaves empty, it calls once it is filled."""
    home = next((one for one in bare.mro(kind) if attribute in bare.attributes(one)), None)
    return home is not None and (home is torch.nn.Module or _is_callable(bare.attributes(home)[attribute]))


def _is_callable(value: Any) -> bool:
    return callable(value) or bare.is_a(value, CALLED)
