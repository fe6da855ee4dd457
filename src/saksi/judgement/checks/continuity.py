"""Is the state at the start of an Update that with which the one before it ended.

Fingerprints of one share of the tensors stand at the end of Update k and at the start of Update k + 1 (Fingerprints in
`spec/frames.md`): what differs was changed between the two, by something that is no optimizer's step. Many programs do
that for good reasons, so that a program which does it from its first Update on, at every one, is told as `info`.

Known weakness: fingerprints are sums, in the job's own memory; a change that is put back before the next Update begins
is not seen, nor one inside of the optimizer's step, nor one between two Updates where a group of parameters was added.
Moments are covered by one share of eight at a time.
"""

from __future__ import annotations

from functools import partial
from typing import Final, NamedTuple

import msgspec

from saksi.judgement.checks.fold import Noted, joined, observation
from saksi.judgement.checks.spoken import ProcessKey, Speakers, Spoken
from saksi.judgement.items import Item
from saksi.words.findings import Finding
from saksi.words.frames import CkptFrame, DetachFrame, Fingerprint, UpdateFrame

__all__ = ["CONTINUITY", "ContinuityCheck"]

CHECK_NAME: Final = "continuity"
CHANGED: Final = "state.changed_between_steps"
MAX_PROCESSES: Final = 16_384
MAX_OPTIMIZERS: Final = 1_024
"""Of one process that are followed, as many as a goodbye counts."""
MOMENTS: Final = "moments"
OWN: Final = (
    "Weights that are clipped or pruned by hand, an average of the weights that is swapped in and a target network "
    "look the same."
)
_Print = tuple[str, str, int, int]
_finding = partial(observation, check=CHECK_NAME)


class _Habit:
    """How often one optimizer's state changed between two Updates, and how often it could have been seen to."""

    __slots__ = ("announced", "changed", "finding", "loaded", "seen")

    def __init__(self) -> None:
        self.announced = False
        self.seen = 0
        self.changed = 0
        self.loaded: Finding | None = None
        self.finding: Finding | None = None


class _Ends(NamedTuple):
    """The fingerprints with which an Update ended; with other `groups` the next covers other tensors."""

    update: int
    groups: int
    loads: int
    prints: dict[_Print, str]


class _Process:
    __slots__ = ("ends", "habits", "loads")

    def __init__(self) -> None:
        self.ends: dict[int, _Ends] = {}
        self.habits: dict[tuple[int, str], _Habit] = {}
        self.loads = 0  # model checkpoints that were loaded


class _State:
    __slots__ = ("noted", "processes", "speakers")

    def __init__(self) -> None:
        self.speakers = Speakers()
        self.processes: dict[ProcessKey, _Process] = {}
        self.noted = Noted()


class ContinuityCheck:
    """Every pair of Updates of one optimizer that follow each other."""

    name = CHECK_NAME

    def start(self) -> _State:
        """See `Check.start`."""
        return _State()

    def step(self, state: _State, item: Item) -> tuple[_State, tuple[Finding, ...]]:
        """See `Check.step`."""
        for said in state.speakers.take(item):
            if isinstance(said.frame, UpdateFrame | CkptFrame):
                self._take(state, said, said.frame)
            elif isinstance(said.frame, DetachFrame):
                _let_go(state, said.process)
        return state, state.noted.news()

    def finish(self, state: _State, *, ended: bool) -> tuple[Finding, ...]:
        """See `Check.finish`."""
        del ended
        return tuple(
            _weighed(habit, each)
            for process in state.processes.values()
            for habit in process.habits.values()
            for each in (habit.finding, habit.loaded)
            if each is not None
        )

    def _take(self, state: _State, said: Spoken, frame: UpdateFrame | CkptFrame) -> None:
        process = state.processes.get(said.process)
        if process is None:
            if len(state.processes) >= MAX_PROCESSES:
                return
            process = state.processes[said.process] = _Process()
        if isinstance(frame, CkptFrame):
            process.loads += frame.action == "loaded"
        elif frame.optimizer < MAX_OPTIMIZERS:
            self._compare(state, process, frame, said)

    def _compare(self, state: _State, process: _Process, frame: UpdateFrame, said: Spoken) -> None:
        before = process.ends.get(frame.optimizer)
        ends = {_key(each): each.end for each in frame.fingerprints if each.end is not None}
        groups = len(frame.groups) + frame.groups_omitted
        process.ends[frame.optimizer] = _Ends(frame.update, groups, process.loads, ends)
        if before is None or (frame.update, groups) != (before.update + 1, before.groups):
            return
        loaded = process.loads > before.loads
        for what, differs in _between(before, frame).items():
            habit = process.habits.setdefault((frame.optimizer, what), _Habit())
            habit.seen += 1
            if differs:
                _differs(habit, frame, what, said, loaded=loaded)
            if habit.finding is not None and habit.changed < habit.seen and not habit.announced:
                habit.announced = True
                state.noted.announce(habit.finding)


def _between(before: _Ends, frame: UpdateFrame) -> dict[str, bool]:
    """Of parameters and moments whether they changed between two Updates, where that can be said."""
    starts = {_key(each): each.start for each in frame.fingerprints if each.start is not None}
    shares = {(name, over, of) for name, over, _, of in starts}
    found: dict[str, bool] = {}
    for key, end in before.prints.items():
        name, over, _, of = key
        start = starts.get(key)
        if start is not None:
            found[over] = found.get(over, False) or start != end
        elif over == MOMENTS and "fingerprints" not in frame.deferred and not _turned(name, over, of, shares):
            found[over] = True  # there were some as the last one ended
    return found


def _turned(name: str, over: str, of: int, shares: set[tuple[str, str, int]]) -> bool:
    """Whether the next Update has other shares of the same."""
    return any((each[0], each[1]) == (name, over) and each[2] != of for each in shares)


def _differs(habit: _Habit, frame: UpdateFrame, what: str, said: Spoken, *, loaded: bool) -> None:
    habit.changed += 1
    step = frame.update if frame.optimizer == 0 else None
    found = _finding(
        code=CHANGED, subject=f"{what} of optimizer {frame.optimizer}", severity="info" if loaded else "warning",
        message=_message(what, loaded=loaded), steps=(step, step), ranks=(said.rank,), evidence=(said.entry,),
    )  # fmt: skip
    if loaded:
        habit.loaded = found if habit.loaded is None else joined(habit.loaded, found)
    else:
        habit.finding = found if habit.finding is None else joined(habit.finding, found)


def _let_go(state: _State, key: ProcessKey) -> None:
    """A process said goodbye: only what is to be told of it is kept."""
    process = state.processes.get(key)
    if process is not None:
        process.ends = {}
        if not any(each.finding or each.loaded for each in process.habits.values()):
            del state.processes[key]


def _key(each: Fingerprint) -> _Print:
    return each.name, each.over, each.share, each.of


def _message(what: str, *, loaded: bool) -> str:
    if loaded:
        return f"The {what} changed between two updates, in which a model checkpoint was loaded."
    return f"The {what} changed between two updates, by something that is no optimizer's step. {OWN}"


def _weighed(habit: _Habit, finding: Finding) -> Finding:
    """A program that does it from the first Update on, at each, does it for a purpose."""
    if habit.changed == habit.seen and finding.severity == "warning":
        return msgspec.structs.replace(finding, severity="info", alleges="drift")
    return finding


CONTINUITY: Final = ContinuityCheck()
