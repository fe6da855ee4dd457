"""The fingerprints of tensors on devices: the same sums as of memory, worked out there, fetched in one copy.

Rules: few and bounded requests: tensors are gathered into a piece of memory of at most `SCRATCH_ROWS` chunks, padded
with zeros, which change no sum, and each full piece is one sum; large ones are summed where they lie; everything is
taken and let go within the call. Of many parameters only a share is summed (`shares_of`). Nothing of the program's
memory is kept between two calls, not even a view: a program that moves its weights elsewhere between two updates gets
the memory back.
"""

from __future__ import annotations

import hashlib
from typing import Any, Iterator, Optional, Union

import torch

from . import device, fingerprints, memory, readings
from .fingerprints import CHUNK, SHARES
from .guard import guarded

SCRATCH_ROWS = 1024  # 32 MiB
DIRECT_ROWS = 256  # from 8 MiB on another request is cheaper than copying
MANY_TENSORS = 64
MANY_BYTES = 512 * 1024 * 1024

PLAIN, KEYED, TAILS = 0, 1, 2


class Summed:
    """A fingerprint whose parts are bytes, or lie in what was asked of a device."""

    __slots__ = ("parts",)

    def __init__(self) -> None:
        self.parts: list[Any] = []

    def value(self) -> str:
        """32 hexadecimal digits, once the readings are there."""
        digest = hashlib.sha256()
        views: dict[int, Any] = {}
        for part in self.parts:
            if isinstance(part, bytes):
                digest.update(part)
                continue
            place, kind, first, count = part
            view = views.get(id(place))
            if view is None:
                view = views[id(place)] = place.reading.view()
            at = 8 * (place.begins(kind) + first)
            digest.update(view[at : at + 8 * count])
        return digest.hexdigest()[:32]

    def readings(self) -> list[Any]:
        """What has to be there first."""
        return [part[0].reading for part in self.parts if not isinstance(part, bytes)]

    def add(self, part: Any) -> None:
        """Append a part; sums that lie behind one another are one."""
        last = self.parts[-1] if self.parts and not isinstance(self.parts[-1], bytes) else None
        if last is not None and part[:2] == last[:2] and part[2] == last[2] + last[3]:
            self.parts[-1] = (*last[:3], last[3] + part[3])
        else:
            self.parts.append(part)


class _Place:
    """What is to be summed on one device."""

    def __init__(self, accelerator: Any, index: int) -> None:
        self.accelerator = accelerator
        self.index = index
        self.given: tuple[list[Any], list[Any]] = ([], [])
        self.counts = [0, 0, 0]
        self.reading: Any = None

    def begins(self, kind: int) -> int:
        return sum(self.counts[:kind])

    def add(self, tensor: Any, keyed: int, to: Summed) -> None:
        nbytes = tensor.numel() * tensor.element_size()
        rows = -(-(nbytes // 8) // CHUNK)
        self.given[keyed].append(tensor)
        for kind, count in ((keyed, rows), (TAILS, 1 if nbytes % 8 else 0)):
            if count:
                to.add((self, kind, self.counts[kind], count))
                self.counts[kind] += count

    def ask(self) -> bool:
        if not readings.may_ask(self.accelerator, self.index):
            return False
        source = _Sweep(self).run().view(torch.uint8)
        self.given = ([], [])  # this lives until the sums are said: what it was asked about must not
        self.reading = readings.start(self.accelerator, self.index, [len(source)], [source], readings.pool)
        return self.reading is not None


class _Sweep:
    """One pass over the tensors of one device."""

    def __init__(self, place: _Place) -> None:
        self.place = place
        self.accelerator, self.index = place.accelerator, place.index
        self.out = self._empty(sum(place.counts))
        rows = min(SCRATCH_ROWS, max(1, place.counts[PLAIN] + place.counts[KEYED]))
        self.scratch = self._empty(rows * CHUNK).view(rows, CHUNK)
        self.zeros = self._empty(CHUNK).zero_()
        self.factors: Any = None
        self.tails: list[Any] = []
        self.batch: list[Any] = []
        self.row = self.filled = 0

    def _empty(self, count: int) -> Any:
        return self.accelerator.empty(self.index, count)

    def run(self) -> Any:
        """All sums: those of chunks, those of keyed chunks, those of tails."""
        given = self.place.given
        for kind, tensors in ((PLAIN, given[PLAIN]), (KEYED, given[KEYED])):
            if kind == KEYED and tensors:
                self.factors = self.accelerator.to_device(self.index, _factors(self.accelerator))
            self.row = self.place.begins(kind)
            for tensor in tensors:
                for words in self._words(tensor):
                    self._take(words)
            self._sum_batch()
        if self.tails:
            padded = [part for tail in self.tails for part in (tail, self.zeros.view(torch.uint8)[: 8 - len(tail)])]
            table = torch.cat(padded).view(-1, 8)
            torch.sum(table, 1, dtype=torch.int64, out=self.out[self.place.begins(TAILS) :])
        return self.out

    def _words(self, tensor: Any) -> Iterator[Any]:
        """The tensor's words, in pieces of whole chunks but the last; its tail is kept for the end."""
        raw = device.bytes_of(self.accelerator, self.index, tensor)
        nbytes = len(raw)
        words = nbytes // 8
        if nbytes % 8:
            self.tails.append(raw[words * 8 :])
            raw = raw[: words * 8]
        if raw.data_ptr() % 8 == 0 and raw.storage_offset() % 8 == 0:
            if words:
                yield raw.view(torch.int64)
            return
        # Words that begin between two words: the device reads none of those, so they are copied, piece by piece.
        for start in range(0, words * 8, SCRATCH_ROWS * CHUNK * 8):
            piece = raw[start : start + SCRATCH_ROWS * CHUNK * 8]
            copied = self._empty(len(piece) // 8)
            copied.view(torch.uint8).copy_(piece)
            yield copied

    def _take(self, words: Any) -> None:
        whole = len(words) // CHUNK
        if whole >= min(DIRECT_ROWS, len(self.scratch)):
            self._sum_batch()
            self._sum_table(words[: whole * CHUNK].view(whole, CHUNK))
            words = words[whole * CHUNK :]
        rows = -(-len(words) // CHUNK)
        if self.filled + rows > len(self.scratch):
            self._sum_batch()
        if rows:
            self.batch.append(words)
            if len(words) % CHUNK:
                self.batch.append(self.zeros[: rows * CHUNK - len(words)])
            self.filled += rows

    def _sum_table(self, table: Any) -> None:
        step = len(table) if self.factors is None else len(self.scratch)
        for start in range(0, len(table), step):
            part = table[start : start + step]
            if self.factors is not None:
                part = torch.mul(part, self.factors, out=self.scratch[: len(part)])
            self._into_out(part)

    def _sum_batch(self) -> None:
        if not self.batch:
            return
        part = self.scratch[: self.filled]
        torch.cat(self.batch, out=part.view(-1))
        if self.factors is not None:
            part.mul_(self.factors)
        self._into_out(part)
        self.batch, self.filled = [], 0

    def _into_out(self, table: Any) -> None:
        torch.sum(table, 1, out=self.out[self.row : self.row + len(table)])
        self.row += len(table)


def shares_of(tensors: list[Any]) -> int:
    """Into how many shares an optimizer's reachable parameters are dealt: 1 unless many lie on devices."""
    far = memory.on_devices(tensors)
    if len(far) <= MANY_TENSORS and sum(one.numel() * one.element_size() for one in far) <= MANY_BYTES:
        return 1
    return SHARES


def ask(lists: list[tuple[list[Any], bool]]) -> list[Optional[Union[str, Summed]]]:
    """Ask for the fingerprints of lists of reachable tensors; one that devices take no part in is given at once.

    None for an empty list, and where a device was not asked, which has been counted. Call in `quiet`.
    """
    if not any(memory.on_devices(tensors) for tensors, _ in lists):
        return list(fingerprints.sums_of_each(lists))
    return _ask(lists) or [None] * len(lists)


@guarded("device", list)
def _ask(lists: list[tuple[list[Any], bool]]) -> list[Optional[Union[str, Summed]]]:
    places: dict[tuple[str, int], _Place] = {}
    out: list[Any] = [_add(memory.present(tensors), keyed, places) for tensors, keyed in lists]
    try:
        asked = all(place.ask() for place in places.values())
    except Exception as error:
        if not readings.out_of_memory(error):
            raise
        asked = False
    return [one if asked or not isinstance(one, Summed) else None for one in out]


def _add(tensors: list[Any], keyed: bool, places: dict[tuple[str, int], _Place]) -> Any:  # noqa: FBT001
    if not memory.on_devices(tensors):
        return fingerprints.sums(tensors, keyed=keyed)
    found = Summed()
    for tensor in tensors:
        if memory.lies_here(tensor):
            found.parts.append(fingerprints.sums_of(tensor, keyed=keyed))
            continue
        kind, index = memory.where(tensor)
        place = places.get((kind, index))
        if place is None:
            place = places[kind, index] = _Place(device.of(kind), index)
        place.add(tensor, int(keyed), found)
    return found


_pinned_factors: list[Any] = [b"", None]


def _factors(accelerator: Any) -> Any:
    """The key's factors in pinned memory; they never change, so that a copy of them may be under way for ever."""
    factors = fingerprints.key_factors()
    if _pinned_factors[0] is not factors:
        copied = accelerator.pinned(CHUNK * 8).view(torch.int64)
        copied.copy_(factors)
        _pinned_factors[:] = [factors, copied]
    return _pinned_factors[1]
