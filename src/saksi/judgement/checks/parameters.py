"""Is everything still trained that was: tensors that lost their gradient for good, groups that are others than before.

Both are common on purpose (layers that are frozen or thawed in turn, experts that are rarely chosen), so both are told
and no more. Known weaknesses: only optimizers that give samples are looked at; what never had a gradient is not told,
nor is what lost it near the end.
"""

from __future__ import annotations

from functools import partial
from typing import Final

from saksi.judgement.checks.fold import Noted, observation
from saksi.judgement.checks.followed import Followed
from saksi.judgement.checks.spoken import Spoken
from saksi.judgement.items import Item
from saksi.judgement.plan.idle import Tensors
from saksi.words.findings import Finding
from saksi.words.frames import SampledFrame, SampleFrame, UpdateFrame

__all__ = ["CHECK_NAME", "PARAMETERS", "ParameterCheck"]

CHECK_NAME: Final = "parameters"
GROUPS: Final = "plan.groups_changed"
IDLE: Final = "plan.parameters_idle"
MAX_NAMED: Final = 4
MAX_OPTIMIZERS: Final = 16
"""Of one process."""
MAX_TENSORS: Final = 1 << 16
"""Of one process, over all its layouts."""
MAX_ALL: Final = 1 << 20
"""Of all processes."""
_finding = partial(observation, check=CHECK_NAME, severity="info")


class _Process:
    __slots__ = ("groups", "last", "size", "tensors")

    def __init__(self) -> None:
        self.size = 0
        self.tensors: dict[int, Tensors] = {}
        self.groups: dict[int, tuple[int, list[int]]] = {}  # how many, and how many tensors each holds
        self.last = (0, 0)  # rank and entry

    def of(self, optimizer: int) -> Tensors | None:
        """An optimizer's tensors; `None` beyond what is followed."""
        if optimizer not in self.tensors and len(self.tensors) < MAX_OPTIMIZERS:
            self.tensors[optimizer] = Tensors()
        return self.tensors.get(optimizer)

    def at_the_end(self) -> list[Finding]:
        """The tensors that lost their gradient for good."""
        found, (rank, entry) = [], self.last
        for optimizer, tensors in self.tensors.items():
            idle = tensors.idle()
            if idle is None:
                continue
            message = (
                f"{idle.idle} of {idle.total} tensors had a gradient and have none any more, {idle.name} since update "
                f"{idle.first}, while others do. Layers that are frozen on purpose and experts that are rarely chosen "
                "look the same."
            )
            steps = (None, None) if optimizer else (idle.first, idle.last)
            of = partial(_finding, steps=steps, ranks=(rank,), evidence=(entry,))
            found.append(of(code=IDLE, subject=f"tensors of optimizer {optimizer}", message=message))
        return found


class _State:
    __slots__ = ("followed", "noted")

    def __init__(self) -> None:
        self.noted = Noted()
        what = "which parameters are trained is not looked at"
        self.followed = Followed(_Process, size=MAX_ALL, noted=self.noted, what=what, gone=self._gone)

    def _gone(self, process: _Process) -> None:
        for each in process.at_the_end():
            self.noted.note(each)


class ParameterCheck:
    """Every Update's groups and samples against those before it."""

    name = CHECK_NAME

    def start(self) -> _State:
        """See `Check.start`."""
        return _State()

    def step(self, state: _State, item: Item) -> tuple[_State, tuple[Finding, ...]]:
        """See `Check.step`."""
        for said, process in state.followed.take(item, UpdateFrame | SampledFrame | SampleFrame):
            _take(state, process, said)
        return state, state.noted.news()

    def finish(self, state: _State, *, ended: bool) -> tuple[Finding, ...]:
        """See `Check.finish`."""
        left = [each for process in state.followed.kept() for each in process.at_the_end()] if ended else []
        return (*state.noted.kept(), *left)


def _take(state: _State, process: _Process, said: Spoken) -> None:
    frame = said.frame
    if isinstance(frame, UpdateFrame):
        _groups(state, process, said, frame)
    elif isinstance(frame, SampledFrame | SampleFrame):
        tensors = process.of(frame.optimizer)
        if tensors is None:
            return
        process.last = said.rank, said.entry
        if isinstance(frame, SampleFrame):
            tensors.take(frame)
            return
        held = tensors.size
        tensors.sampled(frame, min(MAX_TENSORS - process.size, state.followed.room))
        process.size += tensors.size - held


def _groups(state: _State, process: _Process, said: Spoken, frame: UpdateFrame) -> None:
    now = len(frame.groups) + frame.groups_omitted, frame.tensors
    if frame.optimizer not in process.groups and len(process.groups) >= MAX_OPTIMIZERS:
        return
    before = process.groups.setdefault(frame.optimizer, now)
    if before == now:
        return
    process.groups[frame.optimizer] = now
    if before[0] == now[0] and len(before[1]) != len(now[1]):  # how many tensors is not said of each group both times
        return
    step = None if frame.optimizer else frame.update
    what = f"they are {now[0]}, and were {before[0]}" if now[0] != before[0] else _members(process, frame, before[1])
    message = f"From update {frame.update} on {what}. Layers that are frozen or thawed in turn do that."
    of = partial(_finding, steps=(step, step), ranks=(said.rank,), evidence=(said.entry,))
    state.noted.note(of(code=GROUPS, subject=f"groups of optimizer {frame.optimizer}", message=message))


def _members(process: _Process, frame: UpdateFrame, before: list[int]) -> str:
    """Which group holds another number of tensors, and which they are, where samples say that."""
    pairs = zip(before, frame.tensors, strict=True)
    at, (was, now) = next((at, each) for at, each in enumerate(pairs) if each[0] != each[1])
    told = f"group {at} holds {now} tensors, and held {was}"
    tensors = process.tensors.get(frame.optimizer)
    earlier, later = (None, None) if tensors is None else (tensors.before(frame.update), tensors.at(frame.update))
    if now > was or earlier is None or later is None or earlier.lacks or later.lacks:
        return told
    gone = [each for each in earlier.names if each not in later.names]
    more = "" if len(gone) <= MAX_NAMED else f" and {len(gone) - MAX_NAMED} more"
    named = f"{', '.join(gone[:MAX_NAMED])}{more}"
    return f"{told}: without {named}, which the optimizer updates no longer" if gone else told


PARAMETERS: Final = ParameterCheck()
