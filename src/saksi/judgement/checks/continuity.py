"""Is the state at the start of an Update that with which the one before it ended.

Fingerprints of one share of the tensors stand at the end of Update k and at the start of Update k + 1 (Fingerprints in
`spec/frames.md`): what differs was changed between the two, by something that is no optimizer's step. Many programs do
that for good reasons, so that a program which does it from its first Update on, at every one, is told as `info`.

Known weakness: fingerprints are sums, in the job's own memory; a change that is put back before the next Update begins
is not seen, nor one inside of the optimizer's step, nor one between two Updates where a group of parameters was added
or tensors came to a group or left it: fingerprints before and after are of others then (`parameters` tells of it).
Moments are covered by one share of eight at a time.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Final, NamedTuple

from saksi.judgement.checks.fold import Noted, joined, observation
from saksi.judgement.checks.followed import Followed
from saksi.judgement.checks.habits import Habit
from saksi.judgement.checks.spoken import Spoken
from saksi.judgement.items import Item
from saksi.words.findings import Finding
from saksi.words.frames import CkptFrame, Fingerprint, UpdateFrame

__all__ = ["CONTINUITY", "ContinuityCheck"]

CHECK_NAME: Final = "continuity"
CHANGED: Final = "state.changed_between_steps"
MAX_OPTIMIZERS: Final = 1_024
"""Of one process that are followed, as many as a goodbye counts."""
MAX_PRINTS: Final = 1 << 17
"""Fingerprints of all processes that are kept; a recorder says some six with each Update."""
OF_A_HABIT: Final = 4
"""What a habit with its findings takes, in fingerprints."""
MOMENTS: Final = "moments"
OWN: Final = (
    "Weights that are clipped or pruned by hand, an average of the weights that is swapped in and a target network "
    "look the same."
)
_Print = tuple[str, str, int, int]
_finding = partial(observation, check=CHECK_NAME)


class _Habit(Habit):
    """How often one optimizer's state changed between two Updates; `loaded`: of those in which something was loaded."""

    __slots__ = ("loaded",)

    def __init__(self) -> None:
        super().__init__()
        self.loaded: Finding | None = None


class _Ends(NamedTuple):
    """The fingerprints with which an Update ended; with other `groups` the next covers other tensors."""

    update: int
    groups: tuple[int, list[int]]  # how many, and how many tensors each holds
    loads: int
    prints: dict[_Print, str]


class _Process:
    __slots__ = ("ends", "habits", "loads", "size")

    def __init__(self) -> None:
        self.ends: dict[int, _Ends] = {}
        self.habits: dict[tuple[int, str], _Habit] = {}
        self.loads = 0  # model checkpoints that were loaded
        self.size = 0

    def end(self, optimizer: int, ends: _Ends, room: int) -> _Ends | None:
        """How an Update ended, kept if there is room; returns how the one before it did."""
        before = self.ends.pop(optimizer, None)
        self.size -= 0 if before is None else 1 + len(before.prints)
        if 1 + len(ends.prints) <= room or before is not None:
            self.ends[optimizer] = ends
            self.size += 1 + len(ends.prints)
        return before

    def habit(self, optimizer: int, what: str) -> _Habit:
        """Of one optimizer's parameters or moments."""
        habit = self.habits.get((optimizer, what))
        if habit is None:
            habit = self.habits[optimizer, what] = _Habit()
            self.size += OF_A_HABIT
        return habit

    def findings(self) -> Iterator[Finding]:
        """What is to be told of it, weighed by what it did until now."""
        for habit in self.habits.values():
            for each in (habit.weighed(), habit.loaded):
                if each is not None:
                    yield each


class _State:
    __slots__ = ("followed", "noted")

    def __init__(self) -> None:
        self.noted = Noted()
        self.followed = Followed(
            _Process, size=MAX_PRINTS, noted=self.noted, gone=self._gone,
            what="state between the updates is not compared",
        )  # fmt: skip

    def _gone(self, process: _Process) -> None:
        for each in process.findings():
            self.noted.keep(each)


class ContinuityCheck:
    """Every pair of Updates of one optimizer that follow each other."""

    name = CHECK_NAME

    def start(self) -> _State:
        """See `Check.start`."""
        return _State()

    def step(self, state: _State, item: Item) -> tuple[_State, tuple[Finding, ...]]:
        """See `Check.step`."""
        for said, process in state.followed.take(item, UpdateFrame | CkptFrame):
            if isinstance(said.frame, CkptFrame):
                process.loads += said.frame.action == "loaded"
            elif isinstance(said.frame, UpdateFrame) and said.frame.optimizer < MAX_OPTIMIZERS:
                _compare(state, process, said.frame, said)
        return state, state.noted.news()

    def finish(self, state: _State, *, ended: bool) -> tuple[Finding, ...]:
        """See `Check.finish`."""
        del ended
        return (*state.noted.kept(), *(each for process in state.followed.kept() for each in process.findings()))


def _compare(state: _State, process: _Process, frame: UpdateFrame, said: Spoken) -> None:
    groups = (len(frame.groups) + frame.groups_omitted, frame.tensors)
    ends = {_key(each): each.end for each in frame.fingerprints if each.end is not None}
    before = process.end(frame.optimizer, _Ends(frame.update, groups, process.loads, ends), state.followed.room)
    if before is None or (frame.update, groups) != (before.update + 1, before.groups):
        return
    loaded = process.loads > before.loads
    for what, differs in _between(before, frame).items():
        habit = process.habit(frame.optimizer, what)
        habit.asked += 1
        if differs:
            _differs(state.noted, habit, frame, what, said, loaded=loaded)
        habit.tell(state.noted)


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


def _differs(noted: Noted, habit: _Habit, frame: UpdateFrame, what: str, said: Spoken, *, loaded: bool) -> None:
    step = frame.update if frame.optimizer == 0 else None
    found = _finding(
        code=CHANGED, subject=f"{what} of optimizer {frame.optimizer}", severity="info" if loaded else "warning",
        message=_message(what, loaded=loaded), steps=(step, step), ranks=(said.rank,), evidence=(said.entry,),
    )  # fmt: skip
    if loaded:
        habit.times += 1
        habit.loaded = found if habit.loaded is None else joined(habit.loaded, found)
    else:
        habit.was_so(found, noted)


def _key(each: Fingerprint) -> _Print:
    return each.name, each.over, each.share, each.of


def _message(what: str, *, loaded: bool) -> str:
    if loaded:
        return f"The {what} changed between two updates, in which a model checkpoint was loaded."
    return f"The {what} changed between two updates, by something that is no optimizer's step. {OWN}"


CONTINUITY: Final = ContinuityCheck()
