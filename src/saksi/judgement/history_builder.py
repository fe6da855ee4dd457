"""The one pass over a log that makes its `History`.

Memory is bounded apart from one value for each connection and attempt; series are thinned, events beyond a limit are
counted.
"""

from __future__ import annotations

from typing import Final

import msgspec

from saksi.judgement.history import Attempt, Connection, History, Recorded
from saksi.judgement.items import Item, Line
from saksi.judgement.series import SeriesBuilder
from saksi.judgement.story import StoryBuilder
from saksi.judgement.timeline import Timeline
from saksi.words.codec import decode_frame
from saksi.words.errors import MalformedInput
from saksi.words.frames import DeferredFrame, DetachFrame, HelloFrame, Number, RootFrame, UpdateFrame
from saksi.words.limits import MAX_OPTIMIZERS
from saksi.words.records import (
    AnchorRecord,
    AttachRecord,
    AttemptKeyRecord,
    BlockRecord,
    DetachRecord,
    ExitRecord,
    FindingRecord,
    SealRecord,
)

__all__ = ["HistoryBuilder"]

MAX_SERIES: Final = 3 * 1024
"""Three quantities of 1,024 ranks: the series of further ranks are not drawn."""


class _Open:
    """A connection as it is being read."""

    __slots__ = ("base", "first", "frames", "heard", "last", "lost", "offset", "roots", "self_ns", "skipped", "told")

    def __init__(self, base: Connection, offset: int) -> None:
        self.base = base
        self.offset = offset  # steps of the same rank before this connection, so that drawings go on
        self.heard: list[int] = []
        self.skipped = self.frames = self.roots = self.lost = self.self_ns = 0
        self.first: int | None = None
        self.last: int | None = None
        self.told: DetachFrame | None = None

    def value(self) -> Connection:
        told = self.told
        return msgspec.structs.replace(
            self.base,
            updates=tuple(self.heard),
            skipped=self.skipped,
            first_step=self.first,
            last_step=self.last,
            frames=self.frames,
            roots=self.roots,
            lost=self.lost,
            self_ns=self.self_ns,
            claimed_updates=None if told is None else tuple(told.updates),
            exception=None if told is None else told.exception,
        )


class HistoryBuilder:
    """Folds items into a `History`; `build` may be asked for at any time, as the live view does."""

    def __init__(self) -> None:
        self._run: str | None = None
        self._seal: str | None = None
        self._entries = self._blocks = self._frames = self._unread = 0
        self._first_wall: int | None = None
        self._last_wall: int | None = None
        self._attempts: list[Attempt] = []
        self._connections: list[_Open] = []
        self._current: dict[tuple[int, int], _Open] = {}
        self._offsets: dict[int, int] = {}
        self._processes: dict[tuple[int, int, str], _Open] = {}
        self._series: dict[tuple[int, str], SeriesBuilder] = {}
        self._timeline = Timeline()
        self._story = StoryBuilder()
        self._findings: list[Recorded] = []
        self._anchors: list[AnchorRecord] = []

    def take(self, item: Item) -> None:
        """Takes one item in."""
        record = item.record
        self._entries += 1
        self._run = self._run or record.run
        self._first_wall = record.wall_ns if self._first_wall is None else self._first_wall
        self._last_wall = record.wall_ns
        self._timeline.take_record(item)
        self._story.take(item)
        if isinstance(record, BlockRecord):
            self._take_block(item, record)
        elif isinstance(record, AttachRecord):
            self._attach(item.index, record)
        elif isinstance(record, DetachRecord):
            self._detach(item.index, record)
        elif isinstance(record, AttemptKeyRecord):
            self._admit(item.index, record)
        elif isinstance(record, ExitRecord):
            self._end(item.index, record)
        elif isinstance(record, SealRecord):
            self._seal = self._seal or record.envelope
        elif isinstance(record, AnchorRecord):
            self._anchors.append(record)
        elif isinstance(record, FindingRecord):
            self._findings.append(Recorded(entry=item.index, finding=record.finding))

    def _admit(self, index: int, record: AttemptKeyRecord) -> None:
        last = self._attempts[-1] if self._attempts else None
        if last is not None and last.number == record.attempt and last.exit is None:
            recorders = (*last.recorders, record.agent)
            self._attempts[-1] = msgspec.structs.replace(last, keys=(*last.keys, index), recorders=recorders)
            return
        begun = Attempt(
            number=record.attempt,
            keys=(index,),
            entry=index,
            wall_ns=record.wall_ns,
            mono_ns=record.mono_ns,
            recorders=(record.agent,),
        )
        self._attempts.append(begun)

    def _end(self, index: int, record: ExitRecord) -> None:
        if self._attempts and self._attempts[-1].exit is None:
            self._attempts[-1] = msgspec.structs.replace(self._attempts[-1], exit=record, exit_entry=index)

    def _attach(self, index: int, record: AttachRecord) -> None:
        try:
            frame = decode_frame(record.claimed)
        except MalformedInput:
            frame = None
        hello = frame if isinstance(frame, HelloFrame) else None
        base = Connection(
            attempt=record.attempt,
            connection=record.connection,
            rank=record.rank,
            entry=index,
            wall_ns=record.wall_ns,
            peer=record.peer,
            hello=hello,
        )
        opened = _Open(base, self._offset(record, hello))
        if hello is not None:
            self._processes[record.attempt, record.peer.pid, hello.fingerprint_key] = opened
        self._connections.append(opened)
        self._current[record.attempt, record.connection] = opened

    def _offset(self, record: AttachRecord, hello: HelloFrame | None) -> int:
        """Where a connection's steps begin in a drawing: a process that connects again counts on from its own."""
        key = None if hello is None else (record.attempt, record.peer.pid, hello.fingerprint_key)
        earlier = None if key is None else self._processes.get(key)
        if earlier is not None and earlier.told is None and earlier.base.rank == record.rank:
            return earlier.offset
        return self._offsets.get(record.rank, 0)

    def _detach(self, index: int, record: DetachRecord) -> None:
        opened = self._current.get((record.attempt, record.connection))
        if opened is None:
            return
        opened.base = msgspec.structs.replace(opened.base, clean=record.clean, detached_entry=index)
        opened.lost = max(opened.lost, record.lost)

    def _take_block(self, item: Item, record: BlockRecord) -> None:
        self._blocks += 1
        self._unread += item.unread is not None
        self._frames += len(item.lines)
        opened = self._current.get((record.attempt, record.connection))
        for line in item.lines:
            self._timeline.take_line(item, record, line)
            if opened is not None:
                self._take_line(opened, line)

    def _take_line(self, opened: _Open, line: Line) -> None:
        frame = line.frame
        opened.frames += 1
        opened.lost = max(opened.lost, frame.lost)
        if isinstance(frame, UpdateFrame):
            self._take_update(opened, frame)
        elif isinstance(frame, DeferredFrame):
            self._take_deferred(opened, frame)
        elif isinstance(frame, RootFrame):
            opened.roots += 1
        elif isinstance(frame, DetachFrame):
            opened.told = frame

    def _take_update(self, opened: _Open, frame: UpdateFrame) -> None:
        if frame.optimizer < MAX_OPTIMIZERS:
            opened.heard.extend([0] * (frame.optimizer + 1 - len(opened.heard)))
            opened.heard[frame.optimizer] += 1
        opened.skipped += frame.skipped
        opened.self_ns += frame.self_ns
        if frame.optimizer != 0:
            return
        rank = opened.base.rank
        opened.first = frame.update if opened.first is None else opened.first
        opened.last = frame.update
        step = opened.offset + frame.update
        self._offsets[rank] = step + 1
        phases = frame.phase_ns
        self._add_measured(rank, step, frame)
        self._add(rank, "step_seconds", step, (phases.data + phases.compute + phases.optimizer) / 1e9)

    def _take_deferred(self, opened: _Open, frame: DeferredFrame) -> None:
        """Values of an Update that was counted as it was said."""
        opened.skipped += frame.skipped is True
        if frame.optimizer == 0 and opened.last is not None and frame.update <= opened.last:
            self._add_measured(opened.base.rank, opened.offset + frame.update, frame)

    def _add_measured(self, rank: int, step: int, frame: UpdateFrame | DeferredFrame) -> None:
        if frame.loss is not None:
            self._add(rank, "loss", step, frame.loss)
        if frame.gradient_norm is not None:
            self._add(rank, "gradient_norm", step, frame.gradient_norm.value)

    def _add(self, rank: int, name: str, step: int, value: Number) -> None:
        builder = self._series.get((rank, name))
        if builder is None:
            if len(self._series) >= MAX_SERIES:
                return
            builder = self._series[rank, name] = SeriesBuilder()
        builder.add(step, value)

    def build(self) -> History:
        """The history of what was taken in so far."""
        return History(
            run=self._run,
            seal=self._seal,
            entries=self._entries,
            blocks=self._blocks,
            frames=self._frames,
            unread=self._unread,
            first_wall_ns=self._first_wall,
            last_wall_ns=self._last_wall,
            attempts=tuple(self._attempts),
            connections=tuple(each.value() for each in self._connections),
            series=tuple(b.build(name=name, rank=rank) for (rank, name), b in sorted(self._series.items())),
            events=self._timeline.events(),
            events_omitted=self._timeline.omitted,
            findings=tuple(self._findings),
            anchors=tuple(self._anchors),
            story=self._story.build(),
        )
