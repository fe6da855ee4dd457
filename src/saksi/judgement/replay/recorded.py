"""What a record has of one attempt that a replay can be held against, in one pass.

A Step here is an update of optimizer 0 of one rank in its first training; a root binds the state of one rank after one
Step. Memory: the root of each rank and Step, as one number.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from saksi.judgement.checks.seal import seal_in
from saksi.judgement.items import Item
from saksi.judgement.replay.place import NOWHERE, Place, PlaceSeen
from saksi.words.frames import CkptFrame, EnvironmentFrame, HelloFrame, RootFrame, UpdateFrame
from saksi.words.records import BlockRecord, FileRecord, SealRecord

__all__ = ["Recorded", "recorded_of"]

_MAX_SAVED: Final = 10_000
_MAX_SOURCES: Final = 50_000


class Recorded(msgspec.Struct, frozen=True, kw_only=True):
    """Steps of each rank, the last of them, and roots by rank and Step.

    `again`: a rank trained a second time in the same attempt.

    `loaded` are model checkpoints that were loaded before the first Step of a rank, `saved` the paths of those
    that were saved, `sources` the files of modules that were imported, `took_ns` the wall time from the attempt's first
    entry to its last.
    """

    attempts: int
    steps: dict[int, int]
    last: dict[int, int]
    roots: dict[tuple[int, int], str]
    loaded: int
    again: bool
    saved: tuple[str, ...]
    took_ns: int
    place: Place = NOWHERE
    sources: tuple[str, ...] = ()

    @property
    def total(self) -> int:
        """Steps of all ranks."""
        return sum(self.steps.values())

    @property
    def is_even(self) -> bool:
        """Whether every rank has all Steps from the first on, and as many as the others."""
        whole = all(count == self.last[rank] + 1 for rank, count in self.steps.items())
        return whole and len(set(self.steps.values())) == 1

    @property
    def segments(self) -> int:
        """Stretches between two roots of one rank."""
        return max(0, len(self.roots) - len({rank for rank, _ in self.roots}))

    def up_to(self, steps: int) -> Recorded:
        """The same record, as if no rank had made more than so many Steps."""
        made = {rank: min(count, steps) for rank, count in self.steps.items()}
        last = {rank: min(step, steps - 1) for rank, step in self.last.items()}
        roots = {place: root for place, root in self.roots.items() if place[1] < steps}
        return msgspec.structs.replace(self, steps=made, last=last, roots=roots)


def recorded_of(items: Iterable[Item], attempt: int) -> Recorded:
    """What `items` tell of that attempt. Raises what reading them raises."""
    attempts = 0
    steps: dict[int, int] = {}
    last: dict[int, int] = {}
    roots: dict[tuple[int, int], str] = {}
    loaded, again = 0, False
    trained: dict[int, int] = {}  # which connection of a rank made its Steps
    saved: dict[str, None] = {}
    sources: dict[str, None] = {}
    times: list[int] = []
    seen = PlaceSeen()
    for item in items:
        record = item.record
        attempts += isinstance(record, SealRecord)
        if record.attempt != attempt:
            continue
        times = [min(times[0], record.wall_ns), max(times[1], record.wall_ns)] if times else [record.wall_ns] * 2
        if isinstance(record, SealRecord) and (seal := seal_in(item)) is not None:
            seen.seal(seal.hardware)
        if isinstance(record, FileRecord) and record.action == "saved" and len(saved) < _MAX_SAVED:
            saved[record.path] = None
        if not isinstance(record, BlockRecord):
            continue
        rank = record.rank
        for line in item.lines:
            match line.frame:
                case HelloFrame():
                    seen.hello(record.connection, line.frame)
                case UpdateFrame(optimizer=0):
                    seen.trains(record.connection)
                    again |= trained.setdefault(rank, record.connection) != record.connection
                    steps[rank] = steps.get(rank, 0) + 1
                    last[rank] = max(last.get(rank, 0), line.frame.update)
                case RootFrame():
                    roots.setdefault((rank, line.frame.step), line.frame.root)
                case CkptFrame(action="loaded") if rank not in steps:
                    loaded += 1
                case EnvironmentFrame() if len(sources) < _MAX_SOURCES:
                    sources.update((source, None) for _, source in line.frame.modules)
                case _:
                    pass
    return Recorded(
        attempts=attempts,
        steps=steps,
        last=last,
        roots=roots,
        loaded=loaded,
        again=again,
        saved=tuple(saved),
        took_ns=times[1] - times[0] if times else 0,
        place=seen.place(),
        sources=tuple(sources)[:_MAX_SOURCES],
    )
