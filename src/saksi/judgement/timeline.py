"""The events of a run, in words, for people: what attached, was seeded, saved, signalled, ended.

Events keep their entry, so that every line can be followed back to the log. The first and the latest are kept; what
lies between them beyond the limit is counted.
"""

from __future__ import annotations

from collections import deque
from typing import Final

import msgspec

from saksi.judgement.checks.availability import signal_name
from saksi.judgement.items import Item, Line
from saksi.words.frames import (
    AnyFrame,
    CkptFrame,
    DetachFrame,
    FaultFrame,
    HelloFrame,
    InventoryFrame,
    ModuleFrame,
    OptimizerFrame,
    SeededFrame,
    UncoveredFrame,
    UpdateFrame,
)
from saksi.words.records import (
    AnchorRecord,
    AnyRecord,
    ApprovalRecord,
    AttachRecord,
    AttemptKeyRecord,
    BlockRecord,
    DetachRecord,
    EnvironmentRecord,
    ExitRecord,
    FileRecord,
    FindingRecord,
    GapRecord,
    ProcessRecord,
    RefusedRecord,
    SealRecord,
    SignalRecord,
)

__all__ = ["MAX_EVENTS", "Event", "Timeline", "exit_text"]

MAX_EVENTS: Final = 2_000
"""More than anybody reads; a run that saves a model checkpoint every minute for a day makes 1,440."""


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the timeline. `step` is the last Step of optimizer 0 heard on that connection before it."""

    entry: int
    wall_ns: int
    attempt: int
    rank: int | None
    step: int | None
    kind: str
    text: str


class Timeline:
    """Collects events in bounded memory."""

    def __init__(self) -> None:
        self._first: list[Event] = []
        self._latest: deque[Event] = deque(maxlen=MAX_EVENTS // 2)
        self._steps: dict[tuple[int, int], int] = {}
        self.omitted = 0

    def events(self) -> tuple[Event, ...]:
        """What is kept, in order."""
        return (*self._first, *self._latest)

    def take_record(self, item: Item) -> None:
        """Takes in what a record says."""
        record = item.record
        if isinstance(record, AttachRecord):
            self._steps.pop((record.attempt, record.connection), None)
        text = _record_text(record)
        if text is None:
            return
        step = getattr(record, "step", None)
        if step is None:
            step = getattr(record, "last_step", None)
        self._add(
            Event(
                entry=item.index,
                wall_ns=record.wall_ns,
                attempt=record.attempt,
                rank=getattr(record, "rank", None),
                step=step,
                kind=_kind(record),
                text=text,
            )
        )

    def take_line(self, item: Item, record: BlockRecord, line: Line) -> None:
        """Takes in what a frame says."""
        frame = line.frame
        key = (record.attempt, record.connection)
        if isinstance(frame, UpdateFrame):
            if frame.optimizer == 0:
                self._steps[key] = frame.update
            return
        text = _frame_text(frame)
        if text is None:
            return
        self._add(
            Event(
                entry=item.index,
                wall_ns=frame.wall_ns,
                attempt=record.attempt,
                rank=record.rank,
                step=self._steps.get(key),
                kind=_kind(frame),
                text=text,
            )
        )

    def _add(self, event: Event) -> None:
        if len(self._first) < MAX_EVENTS // 2:
            self._first.append(event)
            return
        self.omitted += len(self._latest) == self._latest.maxlen
        self._latest.append(event)


def _kind(each: AnyRecord | AnyFrame) -> str:
    return str(type(each).__struct_config__.tag)


def _record_text(record: AnyRecord) -> str | None:
    match record:
        case SealRecord():
            return "what should run was sealed"
        case ApprovalRecord():
            return f"it was launched under the seal file {record.envelope[:23]}"
        case EnvironmentRecord(changed=[_, *_]):
            return f"{sum(record.totals.values())} files of the environment were not as before"
        case AttemptKeyRecord():
            return "a key for this attempt was admitted"
        case AttachRecord():
            return f"process {record.peer.pid} attached as rank {record.rank}"
        case DetachRecord():
            return f"rank {record.rank} {'left' if record.clean else 'ended without a goodbye'}"
        case ProcessRecord(torch=True):
            witnessed = "witnessed" if record.attached else "not attached"
            return f"process {record.pid} with torch {record.event}, {witnessed}"
        case FileRecord():
            done = "could not load" if record.action == "unread" else record.action
            return f"{done} {record.path}: {record.digest or record.reason or 'not read'}"
        case RefusedRecord():
            return f"refused ({record.count}): {record.reason}"
        case FindingRecord():
            return f"{record.finding.code}: {record.finding.message}"
        case _:
            return _outside_text(record)


def _outside_text(record: AnyRecord) -> str | None:
    """What the launcher, the kernel and the anchors did."""
    match record:
        case SignalRecord():
            sender = "" if record.sender is None else f" from process {record.sender.pid}, uid {record.sender.uid}"
            return f"{record.signal}{sender}{', forwarded' if record.forwarded else ''}"
        case AnchorRecord():
            covered = "nothing" if record.last_size is None else f"{record.last_size} entries"
            return f"anchored at {record.target}: {covered}, {record.failed} failed"
        case GapRecord():
            return f"not watching: {record.reason}"
        case ExitRecord():
            return exit_text(record)
        case _:
            return None


def exit_text(record: ExitRecord) -> str:
    """How the job ended, in words."""
    if record.signal is not None:
        return f"ended by {signal_name(record.signal)}"
    if record.code is not None:
        return f"ended with code {record.code}"
    return f"ended, status not known: {record.reason}"


def _frame_text(frame: AnyFrame) -> str | None:
    match frame:
        case HelloFrame():
            return f"{frame.implementation} {frame.python}, torch {frame.torch}, level {frame.level}"
        case OptimizerFrame():
            return f"optimizer {frame.ordinal}: {frame.class_name}, {frame.tensors} tensors"
        case ModuleFrame():
            return f"module {frame.ordinal}: {frame.class_name}, {frame.parameters:,} parameters"
        case SeededFrame():
            return f"{frame.generator} seeded with {frame.seed}"
        case CkptFrame(path=None):  # a file with a path is told by the record of what the agent found there
            return f"{frame.action} through a file object: {frame.digest or 'bytes not seen'}"
        case InventoryFrame():
            return f"hooks and modes in force: {sum(map(len, frame.hooks.values()))}"
        case UncoveredFrame():
            return f"not covered: {frame.what}: {frame.reason}"
        case FaultFrame():
            return f"the recorder failed in {frame.where}: {frame.error}"
        case DetachFrame(exception=str()):
            return f"the script ended with {frame.exception}"
        case _:
            return None
