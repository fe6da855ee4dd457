"""Sums over memory: weaker than a digest, cheap enough for both ends of every step.

Rules: `sum64-4096` and `mult64-4096` as in `spec/frames.md`; no temporary memory to speak of; torch sums integers
here, on tensors of ours that no graph, view or version counter of the user's tensors knows.
"""

from __future__ import annotations

import hashlib
from typing import Any, NamedTuple, Optional

import torch

from . import memory, session

CHUNK = 4096
SHARES = 8

ROW = 512
"""Integers that torch sums in one go: rows as long as a chunk take longer."""
PARTS = CHUNK // ROW

MAX_KNOWN = 16_384
MAX_PLANS = 256  # an optimizer has eight, as its shares turn

_factors: list[Any] = [b"", None]


class _Words(NamedTuple):
    """Memory as 64-bit integers: whole chunks, the last one that is not whole, and the bytes behind them."""

    table: Any
    rows: Any  # the whole chunks once more, in rows of `ROW`
    last: Any
    tail: Any


class _Plan(NamedTuple):
    """What is summed for some lists of tensors, and where in one piece of memory each sum is written.

    A sum without a key has `PARTS` places, which are added up at the end, those of all tensors at once.
    """

    acts: list[tuple[_Words, int, bool]]  # with the first of its places, and whether it is keyed
    places: list[int]  # how many integers each has
    lists: list[int]  # how many each list has


_known: dict[tuple[int, int], _Words] = {}
"""By address and size. They keep no memory alive, and are used only while a tensor of the user holds just that memory;
making them anew takes as long as the sums do where tensors are small."""
_plans: dict[Any, _Plan] = {}
"""By the addresses and sizes in each list."""


def sums(tensors: list[Any], *, keyed: bool = False) -> Optional[str]:
    """32 hexadecimal digits over the tensors' bytes, in their order; None for no tensors. Call inside `quiet`."""
    return sums_of_each([(tensors, keyed)])[0]


def sums_of_each(lists: list[tuple[list[Any], bool]]) -> list[Optional[str]]:
    """`sums` of each list, beside which stands whether it is keyed. Call inside `quiet`.

    A tensor that is in several lists is summed for all of them at once: its memory is then fetched once.
    """
    known: dict[int, memory.Place] = {}
    placed = []
    for tensors, keyed in lists:
        for tensor in tensors:
            if id(tensor) not in known:
                known[id(tensor)] = memory.place_of(tensor)
        found = [known[id(tensor)] for tensor in tensors]
        placed.append(([one for one in found if one.nbytes], keyed))
    digests = [hashlib.sha256(memory.hold(one).view).hexdigest()[:32] for one in _summed(placed)]
    return [one if tensors else None for one, (tensors, _) in zip(digests, lists)]  # noqa: B905  (newer than Python 3.9)


def sums_of(tensor: Any, *, keyed: bool) -> bytes:
    """The sums over one tensor in memory, as they go into a fingerprint. Call inside `quiet`."""
    place = memory.place_of(tensor)
    (found,) = _summed([([place] if place.nbytes else [], keyed)])
    return bytes(memory.hold(found).view)


def digest(tensors: list[Any]) -> Optional[str]:
    """32 hexadecimal digits of a digest of tensors in memory, in their order; None for no tensors. For small ones."""
    if not tensors:
        return None
    kind = tensors[0].dtype
    if all(one.dtype is kind and not one.dim() for one in tensors) and len(memory.present(tensors)) == len(tensors):
        with torch.no_grad():
            joined = torch.stack(tensors).view(torch.uint8)  # one by one takes several times as long
        return hashlib.sha256(memory.hold(joined).view).hexdigest()[:32]
    return hashlib.sha256(b"".join(bytes(memory.hold(one).view) for one in tensors)).hexdigest()[:32]


def share(tensors: list[Any], number: int) -> list[Any]:
    """The tensors of one rotating share."""
    return tensors[number % SHARES :: SHARES]


def _summed(lists: list[tuple[list[memory.Place], bool]]) -> list[Any]:
    """The sums over what lies at the places of each list, as integers."""
    key = tuple((keyed, tuple((one.address, one.nbytes) for one in places)) for places, keyed in lists)
    plan = _plans.get(key)
    if plan is None:
        if len(_plans) >= MAX_PLANS:
            _plans.clear()
        plan = _plans[key] = _planned(lists)
    every = torch.zeros(sum(plan.lists), dtype=torch.int64, device="cpu")
    places, factors = every.split(plan.places), key_factors()
    for words, at, keyed in plan.acts:
        if keyed:
            _multiply(words, factors, places, at)
        else:
            _add(words, places, at)
    found = every.split(plan.lists)
    return [one if keyed else one.view(-1, PARTS).sum(1) for one, (_, keyed) in zip(found, lists)]  # noqa: B905


def _planned(lists: list[tuple[list[memory.Place], bool]]) -> _Plan:
    plan = _Plan([], [], [])
    acts: dict[tuple[int, int], list[tuple[_Words, int, bool]]] = {}
    for places, keyed in lists:
        before = sum(plan.places)
        for place in places:
            words = _words(place)
            acts.setdefault((place.address, place.nbytes), []).append((words, len(plan.places), keyed))
            if words.table is not None:
                plan.places.append(len(words.table) * (1 if keyed else PARTS))
            for one in (words.last, words.tail):
                if one is not None:
                    plan.places.extend([1] if keyed else [1, PARTS - 1])
        plan.lists.append(sum(plan.places) - before)
    plan.acts.extend(act for several in acts.values() for act in several)
    return plan


def _add(words: _Words, places: Any, at: int) -> None:
    """Write the sums of some memory, in parts, from that place on."""
    if words.rows is not None:
        torch.sum(words.rows, 1, out=places[at])
        at += 1
    for one in (words.last, words.tail):
        if one is not None:
            torch.sum(one, 0, keepdim=True, dtype=torch.int64, out=places[at])
            at += 2


def _multiply(words: _Words, factors: Any, places: Any, at: int) -> None:
    """Write the sums of some memory, each word times its factor, from that place on."""
    if words.table is not None:
        # A matrix times a vector: the products and their sum modulo 2^64, without a table of products.
        torch.mv(words.table, factors, out=places[at])
        at += 1
    if words.last is not None:
        torch.sum(words.last * factors[: len(words.last)], 0, keepdim=True, out=places[at])
        at += 1
    if words.tail is not None:
        torch.sum(words.tail, 0, keepdim=True, dtype=torch.int64, out=places[at])


def _words(place: memory.Place) -> _Words:
    where = place.address, place.nbytes
    known = _known.get(where)
    if known is None:
        if len(_known) >= MAX_KNOWN:
            _known.clear()
        known = _known[where] = _cut(memory.held_at(place))
    return known


def _cut(held: memory.Held) -> _Words:
    count = held.nbytes // 8
    whole = count // CHUNK
    table = rows = last = tail = None
    if count:
        words = torch.frombuffer(held.view, dtype=torch.int64, count=count)
        if whole:
            table, rows = words[: whole * CHUNK].view(whole, CHUNK), words[: whole * CHUNK].view(-1, ROW)
        last = words[whole * CHUNK :] if count > whole * CHUNK else None
    if held.nbytes % 8:
        tail = torch.frombuffer(held.view, dtype=torch.uint8, count=held.nbytes % 8, offset=count * 8)
    return _Words(table, rows, last, tail)


def key_factors() -> Any:
    """What the words of each chunk are multiplied by, from this process's key."""
    if _factors[0] != session.key:
        stream = bytearray(hashlib.shake_256(session.key).digest(CHUNK * 8))
        _factors[:] = [session.key, torch.frombuffer(stream, dtype=torch.int64)]
    return _factors[1]
