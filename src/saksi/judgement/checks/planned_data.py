"""Did the data come as it was declared? For attempts whose seal file, or else whose seal, declares it.

What an approver signed is held against a run, any other declaration is told of and no more (`declared`). The data check
says whether a sampler of torch's hands out what it should; this one, whether such a sampler is what was planned.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Final

from saksi.judgement.checks.declared import Declared
from saksi.judgement.checks.declared_check import DeclaredCheck, Following
from saksi.judgement.checks.fold import observation
from saksi.judgement.checks.spoken import Spoken
from saksi.judgement.plan.begun import NOT_CHECKABLE
from saksi.judgement.plan.epochs import Epochs, OtherData
from saksi.words.findings import Finding
from saksi.words.frames import AnyFrame, CkptFrame, EpochFrame, ExhaustedFrame, UpdateFrame

__all__ = ["PLANNED_DATA", "PlannedDataCheck"]

CHECK_NAME: Final = "planned_data"
MAX_ALL: Final = 1 << 22
"""Samples of all epochs of all processes."""
_HEARD: Final = EpochFrame | ExhaustedFrame | UpdateFrame | CkptFrame
NONE_SEEN: Final = "No DataLoader was seen whose batches alone were trained on, in two updates one after the other."
_finding = partial(observation, check=CHECK_NAME)


class _Process:
    __slots__ = ("asked", "epochs", "last", "size")

    def __init__(self) -> None:
        self.size = 1
        self.asked = False
        self.epochs: Epochs | None = None
        self.last: tuple[int, int] | None = None  # rank and entry of an Update


class PlannedDataCheck(DeclaredCheck[_Process]):
    """Holds every epoch that is trained on to what was declared of it."""

    name = CHECK_NAME
    heard = _HEARD

    def start(self) -> Following[_Process]:
        """See `Check.start`."""
        return Following(_Process, _not_seen, size=MAX_ALL, what="nothing is held to the planned data")

    def hold(self, state: Following[_Process], process: _Process, said: Spoken, declared: Declared) -> None:
        """See `DeclaredCheck.hold`."""
        if declared.data is None:
            return
        if not process.asked:
            process.asked = True
            resumed, is_alone = said.process.attempt > 0, said.hello.world_size <= 1
            process.epochs = Epochs(declared.data, resumed=resumed, is_alone=is_alone)
        if process.epochs is None:
            return
        if isinstance(said.frame, UpdateFrame):
            process.last = said.rank, said.entry
        for each in _found(process.epochs, said.frame, state.followed.room):
            state.noted.note(self._finding(each, said, declared.entry))
        process.size = process.epochs.size

    def _finding(self, other: OtherData, said: Spoken, entry: int) -> Finding:
        attempt, judged = said.process.attempt, other.code != NOT_CHECKABLE
        excused = other.excused or not judged
        return _finding(
            code=other.code,
            severity=self.weight(attempt, excused=excused),
            subject=other.subject,
            message=other.message + self.in_words(attempt, excused=excused),
            steps=(other.first, other.last),
            ranks=(said.rank,),
            evidence=(entry, said.entry),
        )


def _found(epochs: Epochs, frame: AnyFrame, room: int) -> Iterable[OtherData]:
    match frame:
        case EpochFrame():
            epochs.begin(frame)
        case ExhaustedFrame():
            return epochs.exhaust(frame)
        case UpdateFrame():
            return epochs.take(frame, room)
        case CkptFrame(action="loaded"):
            epochs.load()
    return ()


def _not_seen(process: _Process) -> list[Finding]:
    """Data is planned, and none that was trained on is in the record, or of what is there not all can be told."""
    if process.epochs is None or process.last is None:
        return []
    rank, entry = process.last
    of = partial(_finding, code=NOT_CHECKABLE, severity="info", ranks=(rank,), evidence=(entry,))
    if not process.epochs.is_seen:
        return [of(subject="training data", message=NONE_SEEN)]
    return [of(subject=each.subject, message=each.message) for each in process.epochs.unsettled()]


PLANNED_DATA: Final = PlannedDataCheck()
