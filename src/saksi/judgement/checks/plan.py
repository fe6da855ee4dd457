"""Did the run do what was planned? For attempts whose seal file, or else whose seal, has a plan.

The plan comes from a project's file, which may be what was attacked. So one that an approver signed is held against a
run, and any other is told of and no more: `under` says of which attempts the reader knows an approval.

Known weaknesses: a program that loads any file with `torch.load` may stand elsewhere in the schedule, which is told as
`info`; forked processes are left out, since their counters begin anew.
"""

from __future__ import annotations

from functools import partial
from typing import Final

from saksi.judgement.checks.fold import Noted, observation
from saksi.judgement.checks.followed import Followed
from saksi.judgement.checks.seal import file_in, seal_in
from saksi.judgement.checks.spoken import Spoken
from saksi.judgement.items import Item
from saksi.judgement.plan.held import Apart, Held
from saksi.judgement.plan.values import Plan
from saksi.words.findings import Finding, Severity
from saksi.words.frames import CkptFrame, FaultFrame, OptimizerFrame, UncoveredFrame, UpdateFrame
from saksi.words.records import ApprovalRecord, SealRecord

__all__ = ["CHECK_NAME", "PLANS", "PlanCheck"]

CHECK_NAME: Final = "plan"
NOT_CHECKABLE: Final = "plan.not_checkable"
MAX_ALL: Final = 1 << 17
"""Causes kept, of all processes."""
GRADIENT_NORM: Final = frozenset({"gradient norm", "gradient_norm"})
"""How the recorder names what it could not read, and the part of it that reads norms."""
_USUAL: Final = " A plan that was not brought up to date is the usual cause."
_UNAPPROVED: Final = " No approver whose key is trusted here signed this plan, so it is told and no more."
_KINDS: Final = UpdateFrame | OptimizerFrame | CkptFrame | UncoveredFrame | FaultFrame
_finding = partial(observation, check=CHECK_NAME)


class _Process:
    """One process, and what it is held to once its attempt is known."""

    __slots__ = ("asked", "held", "last", "size")

    def __init__(self) -> None:
        self.size = 1
        self.asked = False
        self.held: Held | None = None
        self.last: tuple[int, int] | None = None  # rank and entry


class _Planned:
    """A plan, and the entry that holds it."""

    __slots__ = ("entry", "plan")

    def __init__(self, plan: Plan | None, entry: int) -> None:
        self.plan = plan
        self.entry = entry


class _State:
    __slots__ = ("files", "followed", "noted", "seals")

    def __init__(self) -> None:
        self.noted = Noted()
        self.seals: dict[int, _Planned] = {}
        self.files: dict[int, _Planned] = {}
        what = "nothing is held to the plan"
        self.followed = Followed(_Process, size=MAX_ALL, noted=self.noted, what=what, gone=self._gone)

    def planned(self, attempt: int) -> _Planned | None:
        """What an attempt is held to: the seal file that it was launched under has the say, also if it has no plan."""
        return self.files.get(attempt) or self.seals.get(attempt)

    def _gone(self, process: _Process) -> None:
        for each in _not_seen(process):
            self.noted.note(each)


class PlanCheck:
    """Holds every Update of optimizer 0 to the plan. `approved`: attempts launched under a file that is approved."""

    name = CHECK_NAME

    def __init__(self, approved: frozenset[int] = frozenset()) -> None:
        self._approved = approved

    def under(self, approved: frozenset[int]) -> PlanCheck:
        """The same check for a reader who knows of these approvals."""
        return PlanCheck(approved)

    def start(self) -> _State:
        """See `Check.start`."""
        return _State()

    def step(self, state: _State, item: Item) -> tuple[_State, tuple[Finding, ...]]:
        """See `Check.step`."""
        record = item.record
        if isinstance(record, SealRecord):
            seal = seal_in(item)
            state.seals.setdefault(record.attempt, _Planned(None if seal is None else seal.plan, item.index))
        elif isinstance(record, ApprovalRecord):
            file = file_in(item)
            state.files.setdefault(record.attempt, _Planned(None if file is None else file.plan, item.index))
        for said, process in state.followed.take(item, _KINDS):
            self._take(state, process, said)
        return state, state.noted.news()

    def finish(self, state: _State, *, ended: bool) -> tuple[Finding, ...]:
        """See `Check.finish`."""
        found = [each for process in state.followed.kept() for each in _not_seen(process)] if ended else []
        return (*state.noted.kept(), *found)

    def _take(self, state: _State, process: _Process, said: Spoken) -> None:
        frame, planned = said.frame, state.planned(said.process.attempt)
        if planned is None or planned.plan is None:
            return
        if not process.asked:
            process.asked = True
            if not said.hello.forked:
                process.held = Held(planned.plan, resumed=said.process.attempt > 0)
        held = process.held
        if held is None:
            if isinstance(frame, UpdateFrame):
                message = "Updates that a forked process makes are held to no plan: its counters begin anew."
                state.noted.note(_not_checkable(said.rank, said.entry, "forked processes", message))
            return
        found: tuple[Apart, ...] = ()
        if isinstance(frame, UpdateFrame):
            process.last = said.rank, said.entry
            found = tuple(held.take(frame))
        elif isinstance(frame, OptimizerFrame):
            found = tuple(held.made(frame))
        elif isinstance(frame, CkptFrame) and frame.action == "loaded":
            held.load()
        elif (isinstance(frame, UncoveredFrame) and frame.what in GRADIENT_NORM) or (
            isinstance(frame, FaultFrame) and frame.where in GRADIENT_NORM
        ):
            held.leave_norm()
        for each in found:
            state.noted.note(self._finding(each, said, planned.entry))

    def _finding(self, apart: Apart, said: Spoken, entry: int) -> Finding:
        approved = said.process.attempt in self._approved
        severity: Severity = "warning" if approved and not apart.excused else "info"
        more = "" if apart.excused else _USUAL if approved else _UNAPPROVED
        return _finding(
            code=apart.code,
            severity=severity,
            subject=apart.subject,
            message=apart.message + more,
            steps=(apart.step, apart.step),
            ranks=(said.rank,),
            evidence=(entry, said.entry),
        )


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
