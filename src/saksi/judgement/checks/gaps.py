"""Stretches of time in which nobody was watching, and the steps that they begin and end with.

A gap begins at the first Step that is not in the log before it: of each process that was training then, the one its
counter had reached. It ends before the first Step that is heard on a connection made after it.
"""

from __future__ import annotations

from functools import partial
from typing import Final

from saksi.judgement.checks.fold import observation
from saksi.judgement.checks.trainee import Trainee
from saksi.judgement.checks.watched import Watched
from saksi.words.findings import Finding
from saksi.words.records import GapRecord

__all__ = ["MAX_GAPS", "Gap", "first_unheard"]

MAX_GAPS: Final = 256
"""Gaps that are told one by one; those after them are in the log."""
_finding = partial(observation, check="coverage")


class Gap:
    """One gap record, and how far each process that trained then had been heard."""

    __slots__ = ("entry", "reached", "record")

    def __init__(self, state: Watched, entry: int, record: GapRecord) -> None:
        self.entry = entry
        self.record = record
        self.reached: list[tuple[Trainee, int]] = []
        if record.since_wall_ns is not None:
            self.reached = [(each, each.counted(0).next) for each in _open(state, record.attempt)]

    def finding(self, state: Watched) -> Finding:
        """What the gap left unseen, as far as it is known by now."""
        firsts = [step for _, step in self.reached]
        ends: list[int] = []
        for each in state.trainees if self.record.since_wall_ns is not None else ():
            if each.attempt != self.record.attempt:
                continue
            heard = _first_heard(each, self.entry)
            if heard is not None:
                ends.append(heard - 1)
            if heard and each.connections[0].entry > self.entry:
                firsts.append(0)
        first = min(firsts, default=None)
        last = None if first is None or not ends else max(first, *ends)
        where = "Nobody was watching for a while" if first is None else f"From step {first} on nobody was watching"
        return _finding(
            code="coverage.gap",
            subject="agent",
            message=f"{where}: {self.record.reason}. An agent that was started again leaves this.",
            steps=(first, last),
            ranks=tuple(sorted({each.rank for each, _ in self.reached})),
            evidence=(self.entry,),
        )


def first_unheard(state: Watched, attempt: int) -> int | None:
    """The first Step that is not in the log, of the processes of `attempt` that trained and said no goodbye."""
    return min((each.counted(0).next for each in _open(state, attempt) if each.trained), default=None)


def _open(state: Watched, attempt: int) -> list[Trainee]:
    return [each for each in state.trainees if each.attempt == attempt and not each.left and not state.is_worker(each)]


def _first_heard(trainee: Trainee, entry: int) -> int | None:
    """The first Step that was heard on a connection that began behind `entry`."""
    for each in trainee.connections:
        counter = each.counters.get(0)
        if each.entry > entry and counter is not None and counter.first is not None:
            return counter.first
    return None
