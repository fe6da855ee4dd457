"""What is read of both attempts around the seam. Memory is bounded: a few updates on each side, digests of batches."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Final, TypeAlias

from saksi.judgement.items import Item
from saksi.judgement.story import GroupStory
from saksi.words.frames import AnyFrame, Batch, LayoutFrame, RootFrame, UpdateFrame
from saksi.words.records import AttachRecord, BlockRecord

__all__ = ["Earlier", "Later", "Leaves", "Lines", "batches_of", "read_earlier", "read_later"]

AFTER: Final = 512
"""Steps behind the seam that are compared: what was done twice, usually less than one interval between two saves."""
BEFORE: Final = 16
MAX_SEEN: Final = 200_000
"""Batches of the earlier attempt that are remembered by digest."""

Lines: TypeAlias = list[tuple[str, str | None, str, list[int]]]
Leaves: TypeAlias = dict[str, bytes]


class _Side:
    """Roots and layouts of one rank."""

    def __init__(self) -> None:
        self.root: RootFrame | None = None
        self._layouts: dict[str, Lines] = {}

    def lay(self, frame: LayoutFrame) -> None:
        self._layouts.setdefault(frame.layout, []).extend(frame.lines)

    @property
    def lines(self) -> Lines | None:
        """The lines of its root's layout, or `None` where root or layout is not there."""
        return None if self.root is None else self._layouts.get(self.root.layout)


class Earlier(_Side):
    """One rank of the attempt that saved, around Step `step`."""

    def __init__(self, step: int) -> None:
        super().__init__()
        self.step = step
        self.first: UpdateFrame | None = None
        self.before: deque[UpdateFrame] = deque(maxlen=BEFORE)
        self.after: list[UpdateFrame] = []
        self.moved: set[str] = set()
        self.seen: dict[str, int] = {}
        self.period: int | None = None
        self._last: UpdateFrame | None = None

    def take(self, frame: AnyFrame) -> None:
        """Takes one of the rank's frames in."""
        if isinstance(frame, LayoutFrame):
            self.lay(frame)
        elif isinstance(frame, RootFrame) and frame.step == self.step:
            self.root = frame
        elif isinstance(frame, UpdateFrame) and frame.optimizer == 0:
            self._update(frame)

    def _update(self, frame: UpdateFrame) -> None:
        if self._last is not None:
            self.moved |= {name for name, state in frame.rng.items() if self._last.rng.get(name) != state}
        self._last = frame
        self.first = self.first or frame
        if frame.update > self.step:
            if len(self.after) < AFTER:
                self.after.append(frame)
            return
        self.before.append(frame)
        for batch in frame.batches[-self.width(frame) :]:
            if batch.digest is None or len(self.seen) >= MAX_SEEN:
                continue
            if batch.digest in self.seen:
                self.period = frame.update - self.seen[batch.digest]
            self.seen[batch.digest] = frame.update

    def width(self, frame: UpdateFrame) -> int:
        """How many batches one update uses: the first may have more behind it that were skipped."""
        return 1 if frame is self.first else max(1, len(frame.batches))

    @property
    def at(self) -> UpdateFrame | None:
        """Step `step` itself, or `None` if it was not heard."""
        return self.before[-1] if self.before and self.before[-1].update == self.step else None

    @property
    def next(self) -> UpdateFrame | None:
        """The Step behind the seam, if this attempt made it too."""
        return self.after[0] if self.after and self.after[0].update == self.step + 1 else None


class Later(_Side):
    """One rank of the attempt that loaded, as it began."""

    def __init__(self) -> None:
        super().__init__()
        self.updates: list[UpdateFrame] = []

    def take(self, frame: AnyFrame) -> None:
        """Takes one of the rank's frames in."""
        if isinstance(frame, LayoutFrame):
            self.lay(frame)
        elif isinstance(frame, RootFrame) and frame.step < 0:
            self.root = frame
        elif isinstance(frame, UpdateFrame) and frame.optimizer == 0 and len(self.updates) < AFTER:
            self.updates.append(frame)

    @property
    def first(self) -> UpdateFrame | None:
        """Its first Step, if it was heard."""
        return self.updates[0] if self.updates and self.updates[0].update == 0 else None


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
                for line in item.lines:
                    yield rank, line.frame


def batches_of(frame: UpdateFrame, width: int) -> list[Batch] | None:
    """The last `width` batches before an update: those it used. `None` if they are not in the record."""
    if frame.batches_omitted or len(frame.batches) < width:
        return None
    return frame.batches[-width:]
