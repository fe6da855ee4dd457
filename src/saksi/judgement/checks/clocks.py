"""Does the job's clock go as the agent's does.

Both stand on one host and one kernel: what the wall clock is ahead of the monotonic one is the same for both, and
where somebody sets the clock, or time is kept in step over a network, it moves for both. Frames may come late, never
before they were made, and never with a monotonic time that goes back.

Rules: what a process was off by as it attached is its own (a time namespace, say), and only what departs from that is
told; one stop between two readings makes one odd time, so that it weighs from so many Updates in a row on, behind so
many that were right: a program that shifts the time from its start on, or a library that freezes it for an evaluation,
is told as `info`.

Known weakness: both times of a frame may be shifted by a little together. A process that attaches with a false clock,
and children that are forked with one, look as if that were theirs.
"""

from __future__ import annotations

from collections import deque
from functools import partial
from typing import Final

import msgspec

from saksi.judgement.checks.fold import Noted, joined, observation
from saksi.judgement.items import Item
from saksi.words.findings import Finding
from saksi.words.frames import AnyFrame, HelloFrame, UpdateFrame
from saksi.words.records import AttachRecord, BlockRecord, DetachRecord

__all__ = ["CLOCKS", "ClockCheck"]

DIFFERS: Final = "witness.clock_differs"
SLACK_NS: Final = 2_000_000_000
"""Two clocks are read one after the other, and a host may be busy in between."""
MOVED_NS: Final = 100_000_000
"""By how much the host's clock moves to be remembered as another."""
MAX_MOVES: Final = 256
MAX_PROCESSES: Final = 16_384
MAX_OPEN: Final = 16_384
IN_A_ROW: Final = 8
"""Updates; a shorter row is told as `info`."""
ENOUGH: Final = 5
"""Updates with the right time, without which a departure is a habit of the program's."""
S: Final = 1_000_000_000
CAUSES: Final = (
    "A host whose clock is set moves both. A library that freezes or shifts the time, for tests or for prompts with a "
    "date, and functions of `time` that somebody replaced look the same."
)
_finding = partial(observation, check="clocks", code=DIFFERS, subject="clock")


class _Process:
    """What a process was off by as it attached, and the row of Updates at which it is off by more."""

    __slots__ = ("off_ns", "right", "row", "times")

    def __init__(self, off_ns: int) -> None:
        self.off_ns = off_ns
        self.right = 0
        self.times = 0
        self.row: Finding | None = None


class _Connection:
    __slots__ = ("is_ahead", "latest_ns", "process")

    def __init__(self, process: _Process, *, is_ahead: bool) -> None:
        self.process = process
        self.is_ahead = is_ahead  # from the start: another monotonic clock than the agent's
        self.latest_ns = 0


class _State:
    __slots__ = ("boot", "connections", "noted", "offsets", "processes")

    def __init__(self) -> None:
        self.noted = Noted()
        self.boot = ""
        self.offsets: deque[int] = deque(maxlen=MAX_MOVES)  # of the host's two clocks, as the agent read them
        self.processes: dict[tuple[int, str], _Process] = {}
        self.connections: dict[tuple[int, int], _Connection] = {}


class ClockCheck:
    """The times of every frame, and what they were at each Update."""

    name = "clocks"

    def start(self) -> _State:
        """See `Check.start`."""
        return _State()

    def step(self, state: _State, item: Item) -> tuple[_State, tuple[Finding, ...]]:
        """See `Check.step`."""
        record = item.record
        if record.boot != state.boot:
            state.boot = record.boot
            state.offsets.clear()
            state.processes.clear()
            state.connections.clear()
        offset = record.wall_ns - record.mono_ns
        if not state.offsets or abs(offset - state.offsets[-1]) > MOVED_NS:
            state.offsets.append(offset)
        if isinstance(record, AttachRecord | DetachRecord):
            state.connections.pop((record.attempt, record.connection), None)
        elif isinstance(record, BlockRecord):
            for line in item.lines:
                self._take(state, item, record, line.frame)
        return state, state.noted.news()

    def finish(self, state: _State, *, ended: bool) -> tuple[Finding, ...]:
        """See `Check.finish`."""
        short = (each.row for each in state.processes.values() if each.row is not None and each.times < IN_A_ROW)
        told = (msgspec.structs.replace(each, severity="info") for each in short) if ended else ()
        return (*state.noted.kept(), *told)

    def _take(self, state: _State, item: Item, record: BlockRecord, frame: AnyFrame) -> None:
        key = record.attempt, record.connection
        connection = state.connections.get(key)
        if connection is None:
            if not isinstance(frame, HelloFrame) or len(state.connections) >= MAX_OPEN:
                return
            process = _process(state, (record.attempt, frame.fingerprint_key), _apart(state, frame, 0))
            is_ahead = frame.mono_ns > record.mono_ns
            connection = state.connections[key] = _Connection(process, is_ahead=is_ahead)
        went_back = frame.mono_ns < connection.latest_ns - SLACK_NS
        is_early = not connection.is_ahead and frame.mono_ns > record.mono_ns + SLACK_NS
        connection.latest_ns = max(connection.latest_ns, frame.mono_ns)
        if isinstance(frame, UpdateFrame):
            apart = _apart(state, frame, connection.process.off_ns)
            of = partial(_finding, ranks=(record.rank,), evidence=(item.index,), steps=_steps(frame))
            if apart:
                _off(state, connection.process, of(message=f"{_in_words(apart)} {CAUSES}"))
            elif went_back or is_early:
                what = "goes back" if went_back else "is ahead of the agent's"
                message = f"The monotonic clock of the job {what}, which it did not before. {CAUSES}"
                _off(state, connection.process, of(message=message))
            else:
                _right(state, connection.process)


def _steps(frame: UpdateFrame) -> tuple[int | None, int | None]:
    step = frame.update if frame.optimizer == 0 else None
    return step, step


def _process(state: _State, key: tuple[int, str], off_ns: int) -> _Process:
    """A process goes on over its connections, with what it was off by on the first."""
    known = state.processes.get(key)
    if known is None:
        known = state.processes[key] = _Process(off_ns)
        if len(state.processes) > MAX_PROCESSES:
            del state.processes[next(iter(state.processes))]
    return known


def _apart(state: _State, frame: AnyFrame, off_ns: int) -> int:
    """By how much the wall clock of a frame is ahead of what it may be, as the host's clock was; 0 within the slack."""
    expected = frame.wall_ns - frame.mono_ns - off_ns
    nearest = min((expected - offset for offset in state.offsets), key=abs, default=0)
    return nearest if abs(nearest) > SLACK_NS else 0


def _in_words(apart: int) -> str:
    seconds = abs(apart) / S
    return (
        f"The clock of the job is {seconds:,.0f} seconds {'ahead of' if apart > 0 else 'behind'} the agent's, and was "
        "not before: the times that the job says and logs are others than those of its steps."
    )


def _off(state: _State, process: _Process, finding: Finding) -> None:
    process.row = finding if process.row is None else joined(process.row, finding)
    process.times += 1
    if process.times >= IN_A_ROW:
        is_habit = process.right < ENOUGH
        state.noted.note(msgspec.structs.replace(process.row, severity="info") if is_habit else process.row)


def _right(state: _State, process: _Process) -> None:
    row, times = process.row, process.times
    process.right += 1
    process.row, process.times = None, 0
    if row is not None and times < IN_A_ROW:
        state.noted.note(msgspec.structs.replace(row, severity="info"))


CLOCKS: Final = ClockCheck()
