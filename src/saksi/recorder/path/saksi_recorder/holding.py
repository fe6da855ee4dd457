"""How much of what the optimizers hold is in an object that is saved: the same memory, not the same values.

Rules: nothing is read but which memory tensors lie in; only nested lists, tuples and dictionaries are looked through,
and a model; a copy is not recognised, so that "none" means "not known".
"""

# ruff: noqa: SLF001  (torch gives no public name to what is read here)

from __future__ import annotations

from typing import Any, Iterator, Optional

import torch

from . import memory, optimizers
from .guard import guarded

MAX_VALUES = 100_000


@guarded("holding")
def of(saved: Any) -> Optional[dict[str, int]]:
    """Parameters and state tensors of all living optimizers that are in `saved`, and how many there are."""
    living = optimizers.living()
    if not living:
        return None
    with memory.quiet():
        places = set()
        for number, tensor in enumerate(_tensors(saved)):
            if number == MAX_VALUES:
                return None
            place = _place(tensor)
            if place is not None:
                places.add(place)
        if not places:
            return None
        parameters = [each for _, one in living for each in optimizers.parameters(one)]
        state = [each for _, one in living for each in optimizers.moments(one)]
        return {
            "parameters": sum(_place(each) in places for each in parameters),
            "of_parameters": len(parameters),
            "state": sum(_place(each) in places for each in state),
            "of_state": len(state),
        }


def _tensors(saved: Any) -> Iterator[Any]:
    if isinstance(saved, torch.nn.Module):
        yield from saved.parameters()
        return
    for _, leaf in memory.leaves_in(saved):
        if isinstance(leaf, torch.Tensor):
            yield leaf
        elif isinstance(leaf, torch.nn.Module):
            yield from leaf.parameters()


def _place(tensor: Any) -> Any:
    value = memory.shard(tensor)
    try:
        storage = value.untyped_storage()
        return storage._cdata, value.storage_offset(), value.numel()
    except (NotImplementedError, RuntimeError):  # a tensor without memory of its own, or one that is sparse
        return None
