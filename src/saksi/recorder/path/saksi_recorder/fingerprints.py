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

MAX_KNOWN = 16_384

_factors: list[Any] = [b"", None]


class _Words(NamedTuple):
    """Memory as 64-bit integers: whole chunks, the last one that is not whole, and the bytes behind them.

    `count` is how many sums they have.
    """

    table: Any
    last: Any
    tail: Any
    count: int


_known: dict[tuple[int, int], _Words] = {}
"""By address and size. They keep no memory alive, and are used only while a tensor of the user holds just that memory;
making them anew takes as long as the sums do where tensors are small."""


def sums(tensors: list[Any], *, keyed: bool = False) -> Optional[str]:
    """32 hexadecimal digits over the tensors' bytes, in their order; None for no tensors. Call inside `quiet`."""
    return sums_of_each([(tensors, keyed)])[0]


def sums_of_each(lists: list[tuple[list[Any], bool]]) -> list[Optional[str]]:
    """`sums` of each list, beside which stands whether it is keyed. Call inside `quiet`.

    A tensor that is in several lists is summed for all of them at once: its memory is then fetched once.
    """
    parts: list[list[Any]] = [[()] * len(tensors) for tensors, _ in lists]
    counts = [0] * len(lists)
    wanted: dict[int, tuple[Any, list[tuple[int, int]]]] = {}
    for number, (tensors, _) in enumerate(lists):
        for at, tensor in enumerate(tensors):
            wanted.setdefault(id(tensor), (tensor, []))[1].append((number, at))
    factors = key_factors()
    for tensor, places in wanted.values():
        place = memory.place_of(tensor)
        if place.nbytes:
            words = _words(place)
            for number, at in places:
                parts[number][at] = _of(words, factors if lists[number][1] else None)
                counts[number] += words.count
    every = [one for found in parts for some in found for one in some]
    joined = torch.cat(every) if every else None  # outlives the view of it
    view = memoryview(b"") if joined is None else memory.hold(joined).view
    out: list[Optional[str]] = []
    for (tensors, _), count in zip(lists, counts):  # noqa: B905
        out.append(hashlib.sha256(view[: 8 * count]).hexdigest()[:32] if tensors else None)
        view = view[8 * count :]
    return out


def sums_of(tensor: Any, *, keyed: bool) -> bytes:
    """The sums over one tensor in memory, as they go into a fingerprint. Call inside `quiet`."""
    place = memory.place_of(tensor)
    parts = _of(_words(place), key_factors() if keyed else None) if place.nbytes else []
    joined = torch.cat(parts) if parts else None  # outlives the view of it
    return b"" if joined is None else bytes(memory.hold(joined).view)


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
    table = last = tail = None
    if count:
        words = torch.frombuffer(held.view, dtype=torch.int64, count=count)
        table = words[: whole * CHUNK].view(whole, CHUNK) if whole else None
        last = words[whole * CHUNK :] if count > whole * CHUNK else None
    if held.nbytes % 8:
        tail = torch.frombuffer(held.view, dtype=torch.uint8, count=held.nbytes % 8, offset=count * 8)
    return _Words(table, last, tail, whole + (last is not None) + (tail is not None))


def key_factors() -> Any:
    """What the words of each chunk are multiplied by, from this process's key."""
    if _factors[0] != session.key:
        stream = bytearray(hashlib.shake_256(session.key).digest(CHUNK * 8))
        _factors[:] = [session.key, torch.frombuffer(stream, dtype=torch.int64)]
    return _factors[1]
