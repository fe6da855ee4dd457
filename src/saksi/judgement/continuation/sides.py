"""Reads both sides of the seam: the frames of one group of ranks, rank by rank."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from saksi.judgement.continuation.earlier import Earlier
from saksi.judgement.continuation.later import Later
from saksi.judgement.deferral import Deferral
from saksi.judgement.items import Item
from saksi.judgement.story import GroupStory
from saksi.words.frames import AnyFrame
from saksi.words.records import AttachRecord, BlockRecord

__all__ = ["read_earlier", "read_later"]


def read_earlier(items: Iterable[Item], group: GroupStory, step: int) -> dict[int, Earlier]:
    """The ranks of `group` around `step`."""
    sides: dict[int, Earlier] = {}
    for rank, frame in _frames(items, group):
        sides.setdefault(rank, Earlier(step)).take(frame)
    return sides


def read_later(items: Iterable[Item], group: GroupStory) -> dict[int, Later]:
    """The ranks of `group` as they began."""
    sides: dict[int, Later] = {}
    for rank, frame in _frames(items, group):
        sides.setdefault(rank, Later()).take(frame)
    return sides


def _frames(items: Iterable[Item], group: GroupStory) -> Iterator[tuple[int, AnyFrame]]:
    wanted = dict(group.connections)
    ranks: dict[int, int | None] = {}
    deferrals: dict[int, Deferral[int]] = {}
    for item in items:
        record = item.record
        if record.attempt != group.attempt:
            continue
        if isinstance(record, AttachRecord):
            ranks[record.connection] = wanted.get(item.index)
        elif isinstance(record, BlockRecord):
            if item.index in wanted and record.connection not in ranks:  # a connection whose attach record is missing
                ranks[record.connection] = wanted[item.index]
            rank = ranks.get(record.connection)
            if rank is not None:
                deferral = deferrals.setdefault(record.connection, Deferral())
                for line in item.lines:
                    for frame, beside in deferral.take(line.frame, rank, len(line.raw)):
                        yield beside, frame
    for deferral in deferrals.values():
        for frame, beside in deferral.rest():
            yield beside, frame
