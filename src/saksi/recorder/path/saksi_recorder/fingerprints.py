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
MAX_PLANNED = 8 * MAX_KNOWN  # sums, of all plans: an optimizer has eight, as its shares turn

_factors: list[Any] = [b"", None]


class _Words(NamedTuple):
    """Memory as 64-bit integers: whole chunks, the last one that is not whole, and the bytes behind them."""

    table: Any
    rows: Any  # the whole chunks once more, in rows of `ROW`
    last: Any
    tail: Any


class _Plan(NamedTuple):
    """What is summed for some lists of tensors, and where in one piece of memory each sum is written.

    The piece is cut in slots. A sum without a key has `PARTS` integers, which are added up at the end, those of all
    tensors at once: of whole chunks each in its own, of what is left one, and a slot that stays zero behind it.
    """

    acts: list[tuple[_Words, int, bool]]  # with the first of its slots, and whether it is keyed
    slots: list[int]  # how many integers each has
    lists: list[int]  # how many each list has


_known: dict[tuple[int, int], _Words] = {}
"""By address and size. They keep no memory alive, and are used only while a tensor of the user holds just that memory;
making them anew takes as long as the sums do where tensors are small."""
_plans: dict[Any, _Plan] = {}
"""By the addresses and sizes in each list."""


def sums(tensors: list[Any], *, keyed: bool = False) -> Optional[str]:
    """32 hexadecimal digits over the tensors' bytes, in their order; None for no tensors. Call inside `quiet`."""
    return _digested(_one_by_one(tensors, keyed=keyed)) if tensors else None


def sums_of_each(lists: list[tuple[list[Any], bool]]) -> list[Optional[str]]:
    """`sums` of each list, beside which stands whether it is keyed. Call inside `quiet`.

    For lists of the same tensors again and again. One that is in several of them is summed for all at once: its memory
    is then fetched once.
    """
    placed = _placed(lists)
    if placed is None:
        return [sums(tensors, keyed=keyed) for tensors, keyed in lists]
    return [_digested(one) if tensors else None for one, (tensors, _) in zip(_summed(placed), lists)]  # noqa: B905


def sums_of(tensor: Any, *, keyed: bool) -> bytes:
    """The sums over one tensor in memory, as they go into a fingerprint. Call inside `quiet`."""
    joined = _one_by_one([tensor], keyed=keyed)  # outlives the view of it
    return b"" if joined is None else bytes(memory.hold(joined).view)


def _digested(joined: Any) -> str:
    return hashlib.sha256(b"" if joined is None else memory.hold(joined).view).hexdigest()[:32]


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


def _one_by_one(tensors: list[Any], *, keyed: bool) -> Any:
    """The sums over these, as integers, with no more than one copy at a time; None for none."""
    parts: list[Any] = []
    for tensor in tensors:
        place = memory.place_of(tensor)
        parts.extend(_of(_words(place), key_factors() if keyed else None) if place.nbytes else ())
    return torch.cat(parts) if parts else None


def _of(words: _Words, factors: Any) -> list[Any]:
    out = []
    if words.table is not None:
        # A matrix times a vector: the products and their sum modulo 2^64, without a table of products.
        out.append(words.table.sum(1) if factors is None else torch.mv(words.table, factors))
    if words.last is not None:
        products = words.last if factors is None else words.last * factors[: len(words.last)]
        out.append(products.sum(0, keepdim=True))
    if words.tail is not None:
        out.append(words.tail.sum(0, keepdim=True, dtype=torch.int64))
    return out


def _placed(lists: list[tuple[list[Any], bool]]) -> Optional[list[tuple[list[memory.Place], bool]]]:
    """Where the tensors of each list lie; None where one of them does not lie in order itself."""
    known: dict[int, memory.Place] = {}
    for tensors, _ in lists:
        for tensor in tensors:
            if id(tensor) not in known:
                place = known[id(tensor)] = memory.place_of(tensor)
                if place.keeper is not tensor:
                    return None
    found = [([known[id(tensor)] for tensor in tensors], keyed) for tensors, keyed in lists]
    return [([place for place in places if place.nbytes], keyed) for places, keyed in found]


def _summed(lists: list[tuple[list[memory.Place], bool]]) -> list[Any]:
    """The sums over what lies at the places of each list, as integers."""
    key = tuple((keyed, tuple((one.address, one.nbytes) for one in places)) for places, keyed in lists)
    plan = _plans.get(key)
    if plan is None:
        plan = _planned(lists)
        if len(plan.acts) + sum(len(one.acts) for one in _plans.values()) > MAX_PLANNED:
            _plans.clear()
        _plans[key] = plan
    count = sum(plan.lists)
    # Memory of our own: what a function of torch gives has none within some of its transforms.
    every = torch.frombuffer(bytearray(8 * max(1, count)), dtype=torch.int64)[:count]
    slots, factors = every.split(plan.slots), key_factors()
    for words, at, keyed in plan.acts:
        if keyed:
            _multiply(words, factors, slots, at)
        else:
            _add(words, slots, at)
    return [
        found if keyed else found.view(-1, PARTS).sum(1)
        for found, (_, keyed) in zip(every.split(plan.lists), lists)  # noqa: B905
    ]


def _planned(lists: list[tuple[list[memory.Place], bool]]) -> _Plan:
    plan = _Plan([], [], [])
    acts: dict[tuple[int, int], list[tuple[_Words, int, bool]]] = {}
    for places, keyed in lists:
        before = sum(plan.slots)
        for place in places:
            words = _words(place)
            acts.setdefault((place.address, place.nbytes), []).append((words, len(plan.slots), keyed))
            if words.table is not None:
                plan.slots.append(len(words.table) * (1 if keyed else PARTS))
            for one in (words.last, words.tail):
                if one is not None:
                    plan.slots.extend([1] if keyed else [1, PARTS - 1])
        plan.lists.append(sum(plan.slots) - before)
    plan.acts.extend(act for several in acts.values() for act in several)
    return plan


def _add(words: _Words, slots: Any, at: int) -> None:
    """Write the sums of some memory, in parts, from that slot on."""
    if words.rows is not None:
        torch.sum(words.rows, 1, out=slots[at])
        at += 1
    for one in (words.last, words.tail):
        if one is not None:
            torch.sum(one, 0, keepdim=True, dtype=torch.int64, out=slots[at])
            at += 2


def _multiply(words: _Words, factors: Any, slots: Any, at: int) -> None:
    """Write the sums of some memory, each word times its factor, from that slot on."""
    for one in _of(words, factors):
        slots[at].copy_(one)
        at += 1


def _words(place: memory.Place) -> _Words:
    where = place.address, place.nbytes
    known = _known.get(where)
    if known is None:
        if len(_known) >= MAX_KNOWN:
            _known.clear()
            _plans.clear()  # which hold on to them
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
