"""Where a run can be replayed from other than its start: the model checkpoints that it saved, and what lies between.

A *stretch* is the Steps from one place where the program can begin to the next: its start, or a model checkpoint whose
bytes are known. Several files may be saved behind one Step; the last of them whose name fits is the one to resume from.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from pathlib import PurePath
from typing import Literal, TypeAlias

import msgspec

from saksi.judgement.items import Item
from saksi.words.records import FileRecord

__all__ = ["CapsuleFile", "Means", "Restart", "Stretch", "loads_within", "saves_within", "stretches_of"]


Means: TypeAlias = Literal["start", "resume", "capsule"]
"""How a stretch is reached: from the start of the program, by its own resuming from a model checkpoint, or hollow."""


class CapsuleFile(msgspec.Struct, frozen=True, kw_only=True):
    """The capsule of one rank: its path, and its content as the agent read it."""

    rank: int
    path: str
    digest: str
    size: int | None


class Restart(msgspec.Struct, frozen=True, kw_only=True):
    """A model checkpoint: the path it was saved to behind `step`, and its content as the agent read it.

    Or `capsules`, which the recorders wrote: one of each rank, of which the first is told.
    """

    step: int
    path: str
    digest: str
    size: int | None
    capsules: tuple[CapsuleFile, ...] = ()


class Stretch(msgspec.Struct, frozen=True, kw_only=True):
    """Steps `first` to `behind - 1`; without a `restart` they are reached from the start of the program alone."""

    first: int
    behind: int
    restart: Restart | None = None

    @property
    def means(self) -> Means:
        """How a replay gets to its first Step."""
        if self.restart is None:
            return "start"
        return "capsule" if self.restart.capsules else "resume"

    @property
    def steps(self) -> int:
        """How many they are, of one rank."""
        return self.behind - self.first

    def of(self, made: int) -> int:
        """How many of them a rank has that made so many Steps."""
        return max(0, min(self.behind, made) - self.first)


def saves_within(items: Iterable[Item], attempt: int, *, named: str = "*") -> tuple[Restart, ...]:
    """What was saved in an attempt behind a Step, in order: one for each Step, whose file name fits `named`."""
    found: dict[int, Restart] = {}
    for item in items:
        record = item.record
        if not isinstance(record, FileRecord) or record.attempt != attempt or record.action != "saved":
            continue
        if record.digest is None or record.step < 0 or not fnmatchcase(PurePath(record.path).name, named):
            continue
        found[record.step] = Restart(step=record.step, path=record.path, digest=record.digest, size=record.size)
    return tuple(found[step] for step in sorted(found))


def loads_within(items: Iterable[Item], attempt: int) -> frozenset[str | None]:
    """What was loaded in an attempt before its first Step, by content; `None` is what could not be read."""
    return frozenset(
        item.record.digest
        for item in items
        if isinstance(item.record, FileRecord)
        and (item.record.attempt, item.record.action) == (attempt, "loaded")
        and item.record.step < 0
    )


def stretches_of(steps: int, restarts: Sequence[Restart]) -> tuple[Stretch, ...]:
    """All Steps of a run that made `steps` of them, in order. A save behind the last Step begins nothing.

    Of a model checkpoint and a capsule behind one Step the program's own counts: its means are the program's too.
    """
    by_step = {each.step: each for each in sorted(restarts, key=lambda one: not one.capsules)}
    within = [by_step[step] for step in sorted(by_step) if step + 1 < steps]
    edges = [0, *(each.step + 1 for each in within), steps]
    begun: list[Restart | None] = [None, *within]
    return tuple(
        Stretch(first=first, behind=behind, restart=restart)
        for first, behind, restart in zip(edges, edges[1:], begun, strict=False)
        if behind > first
    )
