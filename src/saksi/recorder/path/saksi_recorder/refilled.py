"""A capsule is put into a process: what is trained, optimizer state, buffers, averages, generators.

Rules: nothing is believed that the record does not bind: tensors by the root, generators by the digests of the last
update; what neither has, as a gradient scaler, is compared alone. Everything is held against the capsule before
anything is written: the same keys, names, types and shapes; what a root covers is written where it lies, and optimizer
state anew; the root of what is there in the end must be that of the capsule; generators come last, so that nothing
moves them any more.
"""

from __future__ import annotations

import re
from typing import Any

import torch

from . import memory, modules, optimizers, refilled_generators, state
from .cannot import CannotBeHollowError
from .capsule_files import Capsule

_OF_STATE = re.compile(r"([0-9]+/[0-9]+/[0-9]+)/(.+)", re.ASCII | re.DOTALL)


def put_in(capsule: Capsule, scalers: list[Any], recorded: dict[str, str]) -> None:
    """Put all of it in. Raises `CannotBeHollowError`; then this process must not go on.

    `recorded` are the digests of generators behind the last update, as the run recorded them.
    """
    with memory.quiet(), torch.no_grad():
        everything = state.listed()
        _look_for_copies({id(value) for _, _, value in everything})
        there = [one for one in everything if _OF_STATE.fullmatch(one[0]) is None]
        _compare(there, capsule)
        for key, _, value in there:
            value.copy_(capsule.tensor(key))
        _put_states(capsule)
        _compare_scalers(capsule, scalers)
        entries = state.listed()
        names = {key: alias for key, alias, value in entries if isinstance(value, torch.Tensor)}
        if names != capsule.names:
            raise CannotBeHollowError("the capsule names %s otherwise" % _first(names.items(), capsule.names.items()))
        if state.digests(entries) != (capsule.root, capsule.layout):
            raise CannotBeHollowError("the state that was put in is not that of the capsule")
        refilled_generators.put_all(capsule.generators, recorded)


def _look_for_copies(covered: set[int]) -> None:
    # What a program keeps as a copy of a model, an average say, is in no root and so in no capsule.
    for word, module in modules.known():
        held = [*modules.parameters_of(module), *modules.buffers_of(module)]
        if word.startswith("copy") and not all(id(one) in covered for _, one in held):
            raise CannotBeHollowError("the program keeps a copy of a module, which no capsule has")


def _compare(there: list[tuple[str, Any, Any]], capsule: Capsule) -> None:
    held = {key: value for key, _, value in there}
    wanted = {key for key in capsule.entries if _OF_STATE.fullmatch(key) is None}
    if set(held) != wanted:
        key = _first(set(held), wanted)
        raise CannotBeHollowError("%s lacks %s" % ("the capsule" if key in held else "this process", key))
    for key, value in held.items():
        entry = capsule.entries[key]
        if (value.dtype, tuple(value.shape)) != (entry.dtype, entry.shape):
            said = (key, entry.dtype, list(entry.shape), value.dtype, list(value.shape))
            raise CannotBeHollowError("%s is %s %s in the capsule, and %s %s here" % said)


def _put_states(capsule: Capsule) -> None:
    """Optimizer state: all that is there goes, and what the capsule has comes."""
    places = {
        "%d/%d/%d" % (ordinal, place, index): (optimizer, parameter)
        for ordinal, optimizer in optimizers.living()
        for place, group in enumerate(optimizer.param_groups)
        for index, parameter in enumerate(group["params"])
    }
    for optimizer, parameter in places.values():
        optimizer.state.pop(parameter, None)
    found: dict[str, dict[str, Any]] = {}
    for key in (*capsule.entries, *capsule.values):
        match = _OF_STATE.fullmatch(key)
        if match is None and key in capsule.entries:
            continue
        if match is None or match[1] not in places:
            raise CannotBeHollowError("this process lacks %s" % key)
        value = capsule.values.get(key)
        if key in capsule.entries:
            value = _laid_out(capsule.tensor(key), places[match[1]][1])
        _nest(found.setdefault(match[1], {}), match[2].split("/"), value)
    for place, kept in found.items():
        optimizer, parameter = places[place]
        optimizer.state[parameter] = {name: _as_lists(value) for name, value in kept.items()}


def _laid_out(value: Any, parameter: Any) -> Any:
    """As optimizers lay it out: like the parameter, where it has its shape."""
    if value.shape != parameter.shape:
        return value.clone()
    return torch.empty_like(parameter, dtype=value.dtype, memory_format=torch.preserve_format).copy_(value)


def _nest(table: dict[str, Any], path: list[str], value: Any) -> None:
    for word in path[:-1]:
        table = table.setdefault(word, {})
        if type(table) is not dict:
            raise CannotBeHollowError("the capsule has optimizer state under a name and within it")
    table[path[-1]] = value


def _as_lists(value: Any) -> Any:
    """What is numbered from 0 within a state was a list, as far as can be known."""
    if type(value) is not dict:
        return value
    items = {name: _as_lists(one) for name, one in value.items()}
    numbered = [str(number) for number in range(len(items))]
    return [items[name] for name in numbered] if set(numbered) == set(items) else items


def _compare_scalers(capsule: Capsule, scalers: list[Any]) -> None:
    """No root has them: so they are put to nothing, but have to have got there by themselves."""
    if len(scalers) != len(capsule.scalers):
        said = (len(capsule.scalers), len(scalers))
        raise CannotBeHollowError("the run had made %d gradient scalers by then, and this process %d" % said)
    for number, (scaler, wanted) in enumerate(zip(scalers, capsule.scalers)):  # noqa: B905  (Python 3.9)
        if (None if scaler is None else scaler.state_dict()) != wanted:
            raise CannotBeHollowError("gradient scaler %d is not as it was in the run" % number)


def _first(one: Any, other: Any) -> Any:
    return min(set(one) ^ set(other), key=str)
