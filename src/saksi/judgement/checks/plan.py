"""Did the run do what was planned? For attempts whose seal file, or else whose seal, has a plan.

The plan comes from a project's file, which may be what was attacked. So one that an approver signed is held against a
run, and any other is told of and no more: `under` says of which attempts the reader knows an approval.

Known weaknesses: a program that loads any file with `torch.load` may stand elsewhere in the schedule, which is told as
`info`; forked processes are left out, since their counters begin anew.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Final

from saksi.judgement.checks.declared import Declared
from saksi.judgement.checks.declared_check import DeclaredCheck, Following
from saksi.judgement.checks.fold import observation
from saksi.judgement.checks.spoken import Spoken
from saksi.judgement.plan.held import Apart, Held
from saksi.words.findings import Finding
from saksi.words.frames import (
    AnyFrame,
    CkptFrame,
    EpochFrame,
    FaultFrame,
    MetricFrame,
    OptimizerFrame,
    SampledFrame,
    SampleFrame,
    UncoveredFrame,
    UpdateFrame,
)

__all__ = ["CHECK_NAME", "PLANS", "PlanCheck"]

CHECK_NAME: Final = "plan"
NOT_CHECKABLE: Final = "plan.not_checkable"
MAX_ALL: Final = 1 << 20
"""Processes and lines of their layouts that are kept."""
GRADIENT_NORM: Final = frozenset({"gradient norm", "gradient_norm"})
"""How the recorder names what it could not read, and the part of it that reads norms."""
_KINDS: Final = (
    UpdateFrame
    | OptimizerFrame
    | CkptFrame
    | UncoveredFrame
    | FaultFrame
    | EpochFrame
    | SampledFrame
    | SampleFrame
    | MetricFrame
)
_finding = partial(observation, check=CHECK_NAME)


class _Process:
    """One process, and what it is held to once its attempt is known."""

    __slots__ = ("asked", "held", "last", "size")

    def __init__(self) -> None:
        self.size = 1
        self.asked = False
        self.held: Held | None = None
        self.last: tuple[int, int] | None = None  # rank and entry


class PlanCheck(DeclaredCheck[_Process]):
    """Holds every Update of optimizer 0 to the plan."""

    name = CHECK_NAME
    heard = _KINDS

    def start(self) -> Following[_Process]:
        """See `Check.start`."""
        return Following(_Process, _not_seen, size=MAX_ALL, what="nothing is held to the plan")

    def hold(self, state: Following[_Process], process: _Process, said: Spoken, declared: Declared) -> None:
        """See `DeclaredCheck.hold`."""
        frame = said.frame
        if declared.plan is None:
            return
        if not process.asked:
            process.asked = True
            if not said.hello.forked:
                process.held = Held(declared.plan, resumed=said.process.attempt > 0, reports=said.rank == 0)
        held = process.held
        if held is None:
            if isinstance(frame, UpdateFrame):
                message = "Updates that a forked process makes are held to no plan: its counters begin anew."
                state.noted.note(_not_checkable(said.rank, said.entry, "forked processes", message))
            return
        if isinstance(frame, UpdateFrame):
            process.last = said.rank, said.entry
        for each in _found(held, frame, state.followed.room):
            state.noted.note(self._finding(each, said, declared.entry))
        process.size = held.size

    def _finding(self, apart: Apart, said: Spoken, entry: int) -> Finding:
        attempt = said.process.attempt
        return _finding(
            code=apart.code,
            severity=self.weight(attempt, excused=apart.excused),
            subject=apart.subject,
            message=apart.message + self.in_words(attempt, excused=apart.excused),
            steps=(apart.step, apart.step),
            ranks=(said.rank,),
            evidence=(entry, said.entry),
        )


def _found(held: Held, frame: AnyFrame, room: int) -> Iterable[Apart]:
    """What a frame says that is not as planned."""
    match frame:
        case UpdateFrame():
            return held.take(frame)
        case OptimizerFrame():
            return held.made(frame)
        case MetricFrame():
            return held.report(frame)
        case CkptFrame(action="loaded"):
            held.load()
        case EpochFrame():
            held.begin_epoch()
        case SampledFrame() | SampleFrame():
            held.sampled(frame, room)
        case UncoveredFrame() if frame.what in GRADIENT_NORM:
            held.leave_norm()
        case FaultFrame() if frame.where in GRADIENT_NORM:
            held.leave_norm()
    return ()


def _not_seen(process: _Process) -> list[Finding]:
    """What is planned and could not be judged of one process."""
    if process.held is None or process.last is None:
        return []
    return [_not_checkable(*process.last, subject, message) for subject, message in process.held.unseen()]


def _not_checkable(rank: int, entry: int, subject: str, message: str) -> Finding:
    return _finding(
        code=NOT_CHECKABLE,
        severity="info",
        subject=subject,
        message=message,
        ranks=(rank,),
        evidence=(entry,),
    )


PLANS: Final = PlanCheck()
