"""One process's Updates against the plan: what is not as declared, each cause in the words of its first time.

Rules:

- The plan speaks of optimizer 0. What is not declared is held to nothing, and what could not be seen is said.
- A rate may stand elsewhere in the schedule where a model checkpoint explains it (`course`): that is told and no more.
- A clipping that was never seen is not known to be missing; one that was seen and is seen no more is.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import msgspec

from saksi.judgement.dynamics.durations import IN_WORDS, spent_in
from saksi.judgement.plan.accumulated import Accumulated
from saksi.judgement.plan.course import Course
from saksi.judgement.plan.reported import OtherReport, Reported
from saksi.judgement.plan.schedule import Schedule
from saksi.judgement.plan.trained import Names, Trained
from saksi.judgement.plan.values import LR_SCALE, Plan, Value
from saksi.words.frames import MetricFrame, OptimizerFrame, SampledFrame, SampleFrame, UpdateFrame

__all__ = ["Apart", "Held"]

ACCUMULATION: Final = "plan.accumulation_differs"
CLIPPING: Final = "plan.clipping_differs"
HYPER_PARAMETER: Final = "plan.hyper_parameter_differs"
LEARNING_RATE: Final = "plan.learning_rate_differs"
LONG: Final = "availability.update_overran"
OPTIMIZER: Final = "plan.optimizer_differs"
REPORT: Final = "plan.report_differs"
STEPS: Final = "plan.steps_exceeded"
TRAINED: Final = "plan.parameter_not_trained"
NEAR: Final = 1e-6
"""Of a value: one that is kept in float32 is off by 1e-7."""
MAX_TOLD: Final = 128
"""Causes of one process whose first words are kept."""
MAX_UNFITTED: Final = 8
"""Patterns of one process that are named because nothing fits them."""
MAX_SHOWN: Final = 80
_UNSEEN: Final = "A compiled step explains that; so does code of the program's own in place of torch's."
_WORDS: Final = ("NaN", "Infinity", "-Infinity")
"""How frames spell what JSON has no number for."""
ON_DEVICE: Final = "tensor "
"""How a hyper-parameter begins that lies on a device and was not read."""


class Apart(NamedTuple):
    """One thing that is not as planned. `excused`: an honest cause was seen."""

    code: str
    subject: str
    message: str
    step: int | None
    excused: bool = False


class Held:
    """What one process is held to. `resumed`: it continues an earlier attempt; `reports`: it is to give reports."""

    def __init__(self, plan: Plan, *, resumed: bool, reports: bool = True) -> None:
        self._plan = plan
        self._course = Course(Schedule(plan), anywhere=resumed) if plan.lr else None
        self._resumed = resumed
        self._told: dict[tuple[str, str], str] = {}
        self._clipped = False
        self._norm_unread = False
        self._others = False
        self._seen: set[str] = set()
        self._unread: set[str] = set()
        self._updates = 0
        self._omitted = False
        self._left_out = 0
        self._accumulated = Accumulated(plan.accumulation) if isinstance(plan.accumulation, int) else None
        self._trained = Trained(Names(plan.trained)) if isinstance(plan.trained, tuple) else None
        self._reports = reports
        self._reported = Reported(plan.reported) if isinstance(plan.reported, tuple) else None

    @property
    def size(self) -> int:
        """What is kept of the process's layouts, in lines, and itself."""
        return 1 + (0 if self._trained is None else self._trained.size)

    def load(self) -> None:
        """The process loaded a model checkpoint."""
        self._resumed = True
        if self._course is not None:
            self._course.leave()

    def leave_norm(self) -> None:
        """The recorder said that it could not read a gradient norm: one that is missing is not known to be."""
        self._norm_unread = True

    def begin_epoch(self) -> None:
        """An epoch of a DataLoader begins, so that one may have ended in the middle of an accumulation."""
        if self._accumulated is not None:
            self._accumulated.begin()

    def sampled(self, frame: SampledFrame | SampleFrame, room: int) -> None:
        """Takes in what says which tensors have a gradient, before the Update that it is of."""
        if self._trained is None or frame.optimizer != 0:
            return
        if isinstance(frame, SampledFrame):
            self._trained.sampled(frame, room)
        else:
            self._trained.sample(frame)

    def report(self, frame: MetricFrame) -> Iterator[Apart]:
        """Holds what a tracker was given to the losses of the Updates."""
        if self._reported is not None:
            yield from map(self._other_report, self._reported.report(frame))

    def made(self, frame: OptimizerFrame) -> Iterator[Apart]:
        """Holds an optimizer's class to the plan."""
        wanted = self._plan.optimizer
        if frame.ordinal != 0 or wanted is None:
            return
        self._seen.add("optimizer")
        if wanted not in {frame.class_name, frame.class_name.rpartition(".")[2]}:
            yield self._apart(OPTIMIZER, "optimizer 0", f"It is {frame.class_name}, and {wanted} is planned.", None)

    def take(self, frame: UpdateFrame) -> Iterator[Apart]:
        """Holds an Update to the plan."""
        if frame.optimizer != 0:
            self._others = True
            return
        self._updates += 1
        self._omitted = self._omitted or bool(frame.groups_omitted)
        if not frame.groups_omitted:
            yield from self._number_of_groups(frame)
        yield from self._rates(frame)
        yield from self._hyper_parameters(frame)
        yield from self._clipping(frame)
        yield from self._backwards(frame)
        yield from self._untrained(frame)
        yield from self._too_long(frame)
        if self._reported is not None:
            yield from map(self._other_report, self._reported.take(frame))
        if self._plan.steps is not None and frame.update - self._left_out >= self._plan.steps:
            message = f"{self._plan.steps} updates are planned, and more came."
            yield self._apart(STEPS, "steps", message, frame.update, excused=self._resumed)  # it may have gone back
        if frame.skipped or "skipped" in frame.deferred:
            self._left_out += 1
            if self._course is not None:
                self._course.may_stand_still()

    def unseen(self) -> Iterator[tuple[str, str]]:
        """What is planned and was never seen, and what nothing is planned for: a subject, and why."""
        if not self._updates and not self._others:
            return
        plan = self._plan
        wanted = {
            "optimizer": plan.optimizer is not None,
            "learning rate": bool(plan.lr),
            "hyper-parameters": bool(plan.hyper_parameters or any(plan.groups)),
            "clipping": plan.max_norm is not None,
            "accumulation": self._accumulated is not None,
            "trained parameters": self._trained is not None,
        }
        for name, is_there in wanted.items():
            if is_there and name not in self._seen:
                yield f"the {name} of optimizer 0", f"It is planned, and in no record of this process. {_UNSEEN}"
        if self._reported is not None:
            yield from self._unreported(self._reported)
        for name in sorted(self._unread & self._seen):
            yield (
                f"the {name} of optimizer 0",
                "Of some updates it is in the record as no number: not held to the plan.",
            )
        if self._omitted:
            yield (
                "groups of optimizer 0",
                "Of some updates not every group is in the record: they were not held to it.",
            )
        for each in self._trained.unfitted()[:MAX_UNFITTED] if self._trained is not None else ():
            yield f"trained {each}", "No tensor of optimizer 0 that had a gradient has such a name."
        if self._trained is not None and self._trained.lacks:
            yield "trained parameters", "Of some updates it is not in the record which tensors had a gradient."
        if self._others:
            yield "further optimizers", "The plan speaks of optimizer 0; what others did is held to nothing."

    def _number_of_groups(self, frame: UpdateFrame) -> Iterator[Apart]:
        wanted = len(self._plan.groups)
        if wanted and len(frame.groups) != wanted:
            message = f"It has {len(frame.groups)} groups, and {wanted} are planned."
            yield self._apart(HYPER_PARAMETER, "groups of optimizer 0", message, frame.update)

    def _rates(self, frame: UpdateFrame) -> Iterator[Apart]:
        course = self._course
        if course is None:
            return
        for number, group in enumerate(frame.groups):
            rate = _number(group.get("lr"))
            if rate is None:
                self._unread.add("learning rate")
                continue
            self._seen.add("learning rate")
            scale = _scale(self._plan, number)
            if not course.fits(frame.update, rate / scale):
                yield self._other_rate(frame.update, number, rate, scale)
        moved = course.moved_by()
        if moved:
            where = f"{abs(moved)} steps {'further on' if moved > 0 else 'back'}"
            message = (
                f"The learning rate goes through the planned schedule at least {where} than this process's updates. "
                "A run that was continued from a model checkpoint does that."
            )
            yield self._apart(LEARNING_RATE, "place in the schedule", message, frame.update, excused=True)

    def _other_rate(self, update: int, number: int, rate: float, scale: float) -> Apart:
        assert self._course is not None  # noqa: S101 - only asked where there is one
        if self._course.is_anywhere:
            message = f"It is {rate!r} at step {update}, and at no step of the planned schedule."
            return self._apart(LEARNING_RATE, f"lr of group {number}", message, update)
        step, planned = self._course.planned(update)
        planned *= scale
        ratio = f", {rate / planned:.6g} times as much" if planned else ""
        at = f"planned for step {step}" if self._resumed else "planned there"
        message = f"It is {rate!r} at step {update}; {at} is {planned:.6g}{ratio}."
        return self._apart(LEARNING_RATE, f"lr of group {number}", message, update)

    def _hyper_parameters(self, frame: UpdateFrame) -> Iterator[Apart]:
        plan = self._plan
        for number, group in enumerate(frame.groups):
            own = plan.groups[number] if number < len(plan.groups) else {}
            for name, wanted in {**plan.hyper_parameters, **own}.items():
                value = group.get(name)
                if name == LR_SCALE:
                    continue
                if isinstance(value, str) and value.startswith(ON_DEVICE):
                    self._unread.add("hyper-parameters")
                    continue
                self._seen.add("hyper-parameters")
                if name not in group or not _same(value, wanted):
                    is_now = _shown(value) if name in group else "not there"
                    message = f"It is {is_now} at step {frame.update}, and {_shown(wanted)} is planned."
                    yield self._apart(HYPER_PARAMETER, f"{name} of group {number}", message, frame.update)

    def _clipping(self, frame: UpdateFrame) -> Iterator[Apart]:
        wanted, norm = self._plan.max_norm, frame.gradient_norm
        if wanted is None:
            return
        if norm is not None:
            self._clipped = True
            self._seen.add("clipping")
            if not _same(norm.max_norm, wanted):
                message = f"Gradients are clipped at {norm.max_norm} at step {frame.update}, and {wanted} is planned."
                yield self._apart(CLIPPING, "max_norm", message, frame.update)
        elif self._clipped and not self._may_be_unseen(frame):
            message = f"No clipping was seen at step {frame.update}, and there was one before; {wanted} is planned."
            yield self._apart(CLIPPING, "clipping", message, frame.update)

    def _backwards(self, frame: UpdateFrame) -> Iterator[Apart]:
        if self._accumulated is None or self._others:
            return  # a backward may have been another optimizer's
        other = self._accumulated.take(frame)
        if self._accumulated.is_seen:
            self._seen.add("accumulation")
        if other is not None:
            message = f"Update {other.since} has {other.backwards}, and {self._plan.accumulation} are planned for each."
            for step in dict.fromkeys((other.since, frame.update)):
                yield self._apart(ACCUMULATION, "backwards of an update", message, step)

    def _untrained(self, frame: UpdateFrame) -> Iterator[Apart]:
        if self._trained is None:
            return
        for each in self._trained.take(frame):
            yield self._apart(TRAINED, each.subject, each.message, frame.update)
        if self._trained.is_seen:
            self._seen.add("trained parameters")

    def _unreported(self, reported: Reported) -> Iterator[tuple[str, str]]:
        for name in reported.unseen if self._reports else ():
            yield f"metric {name}", "It is planned to be the loss, and no report of it is in the record beside a loss."
        if reported.alone and len(reported.unseen) < len(self._plan.reported or ()):
            yield "reports", f"{reported.alone:,} reports of the loss stand beside no loss, and were not compared."

    def _too_long(self, frame: UpdateFrame) -> Iterator[Apart]:
        longest = self._plan.longest_update
        if longest is msgspec.UNSET or self._updates == 1:  # what lies before the first is getting ready
            return
        phase, took = spent_in(frame.phase_ns)
        if took > longest * 1e9:
            message = (
                f"Update {frame.update} took {took / 1e9:.3g} s, most of it in {IN_WORDS[phase]}; {longest:.6g} s are "
                "planned for the longest."
            )
            yield self._apart(LONG, "duration", message, frame.update)

    def _other_report(self, other: OtherReport) -> Apart:
        share = f", {other.report / other.loss:.4g} times as much" if other.loss else ""
        message = (
            f"{other.report:.6g} was reported for update {other.step}{share}; the loss that was witnessed is "
            f"{other.loss:.6g}, and the metric is planned to be the loss."
        )
        return self._apart(REPORT, f"metric {other.name}", message, other.step)

    def _may_be_unseen(self, frame: UpdateFrame) -> bool:
        """Whether there may have been a clipping: inside a compiled graph, before another optimizer's update."""
        unsaid = "gradient_norm" in frame.deferred or self._norm_unread
        return unsaid or self._others or frame.skipped or not frame.losses

    def _apart(self, code: str, subject: str, message: str, step: int | None, *, excused: bool = False) -> Apart:
        """In the words of the first time, so that later steps stretch that finding."""
        if len(self._told) < MAX_TOLD:
            message = self._told.setdefault((code, subject), message)
        else:
            message = self._told.get((code, subject), message)
        return Apart(code, subject, message, step, excused)


def _scale(plan: Plan, number: int) -> float:
    found = plan.groups[number].get(LR_SCALE, 1.0) if number < len(plan.groups) else 1.0
    return float(found) if isinstance(found, int | float) else 1.0


def _same(value: Any, wanted: Value) -> bool:
    if isinstance(wanted, tuple):
        return (
            isinstance(value, list)
            and len(value) == len(wanted)
            and all(_same(a, b) for a, b in zip(value, wanted, strict=True))
        )
    if isinstance(value, bool) or isinstance(wanted, bool) or wanted is None or isinstance(wanted, str):
        return type(value) is type(wanted) and bool(value == wanted)
    number = _number(value)
    return number is not None and math.isclose(number, wanted, rel_tol=NEAR)


def _number(value: Any) -> float | None:
    """A number of a frame as a float, whatever its size; `None` for what is none."""
    if isinstance(value, bool) or not (isinstance(value, int | float) or value in _WORDS):
        return None
    try:
        return float(value)
    except OverflowError:
        return math.inf


def _shown(value: Any) -> str:
    return msgspec.json.encode(value).decode()[:MAX_SHOWN]
