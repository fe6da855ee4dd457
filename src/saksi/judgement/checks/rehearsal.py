"""Are the first steps those of the rehearsal? For attempts launched under a seal file that has one.

The same command, on the same stack and with the same seeds, does the same bit for bit, whoever launches it. A rank that
was not rehearsed has nothing to be held to, and that is said; an attempt whose command never started has no steps.
"""

from __future__ import annotations

from functools import partial
from typing import Final

import msgspec

from saksi.judgement.checks.fold import Noted, observation
from saksi.judgement.checks.seal import file_in, seal_in
from saksi.judgement.items import Item
from saksi.judgement.machines import Machine, machine_of
from saksi.judgement.rehearsal.compare import NOT_CHECKABLE, compare
from saksi.judgement.rehearsal.first_steps import FirstSteps
from saksi.judgement.rehearsal.numbers import Apart
from saksi.judgement.rehearsal.values import Rehearsal, RehearsedRank
from saksi.words.findings import Finding
from saksi.words.records import ApprovalRecord, ExitRecord, SealRecord

__all__ = ["CHECK_NAME", "REHEARSALS", "RehearsalCheck"]

CHECK_NAME: Final = "rehearsal"
_USUAL: Final = (
    " Code that was changed and not rehearsed anew is the usual cause; arithmetic that is not deterministic is another."
)
_finding = partial(observation, check=CHECK_NAME)


class _Launch(msgspec.Struct):
    """One attempt: what it is held to, and its first Steps."""

    entry: int
    rehearsal: Rehearsal
    machines: tuple[Machine, Machine] | None
    first: FirstSteps
    ranks: dict[int, RehearsedRank]
    stopped: bool = False


class _State:
    __slots__ = ("launches", "machines", "noted")

    def __init__(self) -> None:
        self.machines: dict[int, Machine] = {}
        self.launches: dict[int, _Launch] = {}
        self.noted = Noted()


class RehearsalCheck:
    """Compares the first Steps of each attempt with the rehearsal in the seal file it was launched under."""

    name = CHECK_NAME

    def start(self) -> _State:
        """See `Check.start`."""
        return _State()

    def step(self, state: _State, item: Item) -> tuple[_State, tuple[Finding, ...]]:
        """See `Check.step`."""
        record = item.record
        if isinstance(record, SealRecord):
            seal = seal_in(item)
            if seal is not None:
                state.machines.setdefault(record.attempt, machine_of(seal.hardware))
        elif isinstance(record, ApprovalRecord):
            self._begin(state, item)
        elif record.attempt in state.launches:
            launch = state.launches[record.attempt]
            if isinstance(record, ExitRecord):
                launch.stopped = record.started_wall_ns == 0
            else:
                self._compare(state, launch, item)
        return state, state.noted.news()

    def finish(self, state: _State, *, ended: bool) -> tuple[Finding, ...]:
        """See `Check.finish`."""
        found = list(state.noted.kept())
        for attempt, launch in state.launches.items() if ended else ():
            if launch.stopped and not launch.first.attached:
                continue
            for rank in launch.ranks:
                process = launch.first.ranks.get(rank)
                heard = 0 if process is None else process.heard
                if heard < launch.rehearsal.steps:
                    message = f"{heard} of the {launch.rehearsal.steps} steps that were rehearsed are in the record."
                    found.append(_not_compared(attempt, rank, message, (launch.entry,)))
        return tuple(found)

    def _begin(self, state: _State, item: Item) -> None:
        attempt, file = item.record.attempt, file_in(item)  # one that is none is told of by the check of the seal
        if file is None or not isinstance(file.rehearsal, Rehearsal) or attempt in state.launches:
            return
        here = state.machines.get(attempt)
        state.launches[attempt] = _Launch(
            entry=item.index,
            rehearsal=file.rehearsal,
            machines=None if here is None else (machine_of(file.hardware), here),
            first=FirstSteps(file.rehearsal.steps),
            ranks={each.rank: each for each in file.rehearsal.ranks},
        )

    def _compare(self, state: _State, launch: _Launch, item: Item) -> None:
        for rank in sorted(launch.first.take(item)):
            before, process = launch.ranks.get(rank), launch.first.ranks[rank]
            if before is None:
                many = "1 rank was" if len(launch.ranks) == 1 else f"{len(launch.ranks)} ranks were"
                message = f"Only {many} rehearsed, so the steps of this one are held to nothing."
                state.noted.note(_not_compared(item.record.attempt, rank, message, (launch.entry, item.index)))
                continue
            after = process.value(rank)
            if after is None:
                continue
            for each in compare(before, after, launch.machines):
                entry = process.entries.get(each.step or 0, item.index)
                state.noted.note(_of(each, rank, (launch.entry, entry)))


def _not_compared(attempt: int, rank: int, message: str, evidence: tuple[int, ...]) -> Finding:
    return _finding(
        code=NOT_CHECKABLE,
        severity="info",
        subject=f"attempt {attempt}",
        message=message,
        ranks=(rank,),
        evidence=evidence,
    )


def _of(apart: Apart, rank: int, evidence: tuple[int, ...]) -> Finding:
    alleged = apart.code != NOT_CHECKABLE
    return _finding(
        code=apart.code,
        severity="warning" if alleged else "info",
        subject=apart.subject,
        message=apart.sentence + (_USUAL if alleged else ""),
        steps=(apart.step, apart.step),
        ranks=(rank,),
        evidence=evidence,
    )


REHEARSALS: Final = RehearsalCheck()
