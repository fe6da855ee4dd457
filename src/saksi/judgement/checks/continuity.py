"""Is the state at the start of an Update that with which the one before it ended.

Fingerprints of one share of the tensors stand at the end of Update k and at the start of Update k + 1 (Fingerprints in
`spec/frames.md`): what differs was changed between the two, by something that is no optimizer's step. Many programs do
that for good reasons, so that a program which does it from its first Update on, at every one, is told as `info`.
Samples of the state, where an optimizer gives some (Samples in `spec/frames.md`), are compared likewise: of every
tensor, at every pair of sampled Updates.

Known weakness: fingerprints are sums, in the job's own memory; a change that is put back before the next Update begins
is not seen, nor one inside of the optimizer's step, nor one between two Updates where a group of parameters was added
or tensors came to a group or left it: fingerprints before and after are of others then (`parameters` tells of it).
Moments are covered by one share of eight at a time, and besides by a few elements of each tensor.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Final, NamedTuple

from saksi.judgement.checks.fold import Noted, joined, observation
from saksi.judgement.checks.followed import Followed
from saksi.judgement.checks.habits import Habit
from saksi.judgement.checks.sampled_state import SampledState
from saksi.judgement.checks.spoken import Spoken
from saksi.judgement.items import Item
from saksi.judgement.updates.between import Changed
from saksi.words.findings import Finding
from saksi.words.frames import CkptFrame, Fingerprint, SampledFrame, SampleFrame, UpdateFrame

__all__ = ["CONTINUITY", "ContinuityCheck"]

CHECK_NAME: Final = "continuity"
CHANGED: Final = "state.changed_between_steps"
MAX_OPTIMIZERS: Final = 1_024
"""Of one process that are followed, as many as a goodbye counts."""
MAX_PRINTS: Final = 1 << 17
"""Fingerprints of all processes that are kept; a recorder says some six with each Update."""
MAX_LINES: Final = 1 << 20
"""Of layouts of samples, and of samples in such lines, that are kept besides."""
OF_A_HABIT: Final = 4
"""What a habit with its findings takes, in fingerprints."""
MOMENTS: Final = "moments"
COUNTERS: Final = "counters"
"""State of one element for each tensor: told as what else the optimizer keeps, of which they are a part."""
OWN: Final = (
    "Weights that are clipped or pruned by hand, an average of the weights that is swapped in and a target network "
    "look the same."
)
MAX_NAMED: Final = 4
"""Tensors that a finding names; of more it tells how many."""
_HEARD: Final = UpdateFrame | CkptFrame | SampledFrame | SampleFrame
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
    __slots__ = ("_prints", "ends", "habits", "loads", "samples")

    def __init__(self) -> None:
        self.ends: dict[int, _Ends] = {}
        self.habits: dict[tuple[int, str], _Habit] = {}
        self.loads = 0  # model checkpoints that were loaded
        self.samples = SampledState()
        self._prints = 0

    @property
    def size(self) -> int:
        """What is kept of it, in fingerprints and in lines of samples."""
        return self._prints + self.samples.size

    def end(self, optimizer: int, ends: _Ends, room: int) -> _Ends | None:
        """How an Update ended, kept if there is room; returns how the one before it did."""
        before = self.ends.pop(optimizer, None)
        self._prints -= 0 if before is None else 1 + len(before.prints)
        if 1 + len(ends.prints) <= room or before is not None:
            self.ends[optimizer] = ends
            self._prints += 1 + len(ends.prints)
        return before

    def habit(self, optimizer: int, what: str) -> _Habit:
        """Of one optimizer's parameters or moments."""
        habit = self.habits.get((optimizer, what))
        if habit is None:
            habit = self.habits[optimizer, what] = _Habit()
            self._prints += OF_A_HABIT
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
            _Process, size=MAX_PRINTS + MAX_LINES, noted=self.noted, gone=self._gone,
            what="state between the updates is not compared",
        )  # fmt: skip

    @property
    def room_for_samples(self) -> int:
        """How much more may be kept of them, so that fingerprints have room all the same."""
        return max(0, self.followed.room - MAX_PRINTS)

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
        for said, process in state.followed.take(item, _HEARD):
            if isinstance(said.frame, CkptFrame):
                process.loads += said.frame.action == "loaded"
            elif isinstance(said.frame, SampledFrame | SampleFrame):
                process.samples.hears(said.frame, state.room_for_samples)
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
    room = state.followed.room
    before = process.end(frame.optimizer, _Ends(frame.update, groups, process.loads, ends), room)
    sampled = process.samples.updated(frame, state.room_for_samples)
    if before is None or (frame.update, groups) != (before.update + 1, before.groups):
        return
    loaded = process.loads > before.loads
    found = _between(before, frame)
    if sampled is not None:
        found[MOMENTS] = found.get(MOMENTS, False) or bool(sampled)
    for what, differs in found.items():
        habit = process.habit(frame.optimizer, what)
        habit.asked += 1
        if differs:
            message = _message(what, sampled or () if what == MOMENTS else (), loaded=loaded)
            _differs(state.noted, habit, _found(frame, what, message, said, loaded=loaded), loaded=loaded)
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
            what = MOMENTS if over == COUNTERS else over
            found[what] = found.get(what, False) or start != end
        elif over == MOMENTS and "fingerprints" not in frame.deferred and not _turned(name, over, of, shares):
            found[over] = True  # there were some as the last one ended
    return found


def _turned(name: str, over: str, of: int, shares: set[tuple[str, str, int]]) -> bool:
    """Whether the next Update has other shares of the same."""
    return any((each[0], each[1]) == (name, over) and each[2] != of for each in shares)


def _found(frame: UpdateFrame, what: str, message: str, said: Spoken, *, loaded: bool) -> Finding:
    step = frame.update if frame.optimizer == 0 else None
    return _finding(
        code=CHANGED, subject=f"{what} of optimizer {frame.optimizer}", severity="info" if loaded else "warning",
        message=message, steps=(step, step), ranks=(said.rank,), evidence=(said.entry,),
    )  # fmt: skip


def _differs(noted: Noted, habit: _Habit, found: Finding, *, loaded: bool) -> None:
    if loaded:
        habit.times += 1
        habit.loaded = found if habit.loaded is None else joined(habit.loaded, found)
    else:
        habit.was_so(found, noted)


def _key(each: Fingerprint) -> _Print:
    return each.name, each.over, each.share, each.of


def _message(what: str, sampled: Sequence[Changed], *, loaded: bool) -> str:
    if loaded:
        return f"The {what} changed between two updates, in which a model checkpoint was loaded."
    seen = _seen(sampled) if sampled else ""
    return f"The {what} changed between two updates, by something that is no optimizer's step.{seen} {OWN}"


def _seen(sampled: Sequence[Changed]) -> str:
    """Where samples show it, and by how much."""
    names = list(dict.fromkeys(each.tensor for each in sampled))
    where = ", ".join(names[:MAX_NAMED]) + (f" and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else "")
    states = ", ".join(dict.fromkeys(each.state for each in sampled))
    first, factors = sampled[0], {None if each.times is None else f"{each.times:.3g}" for each in sampled}
    how = ""
    if first.was is not None and first.now is not None:
        how = f" (of {first.tensor} from {first.was:g} to {first.now:g})"
    elif len(factors) == 1 and None not in factors:
        how = f" ({factors.pop()} times what it was)"
    return f" Samples show it first in {states} of {where}{how}."


CONTINUITY: Final = ContinuityCheck()
