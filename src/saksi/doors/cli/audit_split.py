"""Stretches that differ on a machine that may compute otherwise: their first Step in the tier *split*.

Rules: it is tried only where a difference proves nothing, so a record that does not come out as near as rounding stays
`not_checkable`; each replay of it makes one Step, and sees nothing of the others but the bytecode of those that begin
with it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

import msgspec

from saksi.doors.cli.audit_replays import against_replay, environment_at
from saksi.doors.cli.audit_resumed import Part, loaded_apart
from saksi.doors.cli.progress import counter
from saksi.doors.cli.reading import items_of, judged
from saksi.edges.runs import RunMaterials
from saksi.judgement.replay import split
from saksi.judgement.replay.gradients import StepGradients, gradients_at
from saksi.judgement.replay.place import other_place
from saksi.judgement.replay.recorded import recorded_of
from saksi.judgement.replay.resumed import first_step_apart
from saksi.judgement.replay.sampled import Replayed
from saksi.judgement.replay.split import Unsplit
from saksi.judgement.replay.stretches import Stretch
from saksi.judgement.replay.values import EnvironmentLine, Means
from saksi.processes.auditor.executor import Executor, Lost, Outcome, Refused, Task
from saksi.processes.auditor.replaying import Replay

__all__ = ["SplitAnswer", "is_elsewhere", "split_steps"]

_KINDS: Final = ("base", "threads", "older", "planted")
"""Replays of one Step: as it is; with other threads; with older instructions; and with a label changed."""


class SplitAnswer(NamedTuple):
    """What came of one stretch, in how many replays."""

    answer: Replayed
    environments: tuple[EnvironmentLine, ...]
    replays: int


class _Asked(NamedTuple):
    """One Step that may be told, and the tasks for it by kind."""

    record: Mapping[int, StepGradients]
    tasks: Mapping[str, Task]


def is_elsewhere(part: Part, readings: Iterable[RunMaterials]) -> bool:
    """Whether a replay that was made is known to be where a difference proves nothing: another machine, or threads."""
    was = part.asked.recorded.place
    for reading in readings:
        now = recorded_of(items_of(reading), 0).place
        if other_place(was, now) is not None or (was.threads is not None and was.threads != now.threads):
            return True
    return False


def split_steps(part: Part, executor: Executor, why: Mapping[int, str | None]) -> dict[int, SplitAnswer]:
    """The first Step of each of these stretches; `why` is what kept each from being equal.

    Raises `NotReplayed`, `SaksiError`, `OSError`.
    """
    asked: dict[int, _Asked] = {}
    found: dict[int, SplitAnswer] = {}
    for number in why:
        try:
            asked[number] = _asked(part, number)
        except Unsplit as reason:
            found[number] = SplitAnswer(_unsaid(part, number, why[number], reason), (), 0)
    tasks = [task for each in asked.values() for task in each.tasks.values()]
    with counter(max(1, len(tasks)), "measuring what rounding does", shown=bool(tasks)) as hear:
        outcomes = executor.run(tasks, said=hear)
    for number, each in asked.items():
        found[number] = _answer(part, number, each, outcomes, why[number])
    return found


def _asked(part: Part, number: int) -> _Asked:
    """Raises `Unsplit`."""
    asked, stretch = part.asked, part.plan.stretches[number]
    record = gradients_at(items_of(asked.reading), asked.attempt, stretch.first)
    key = split.key_of(record)
    if len(record) != len(asked.recorded.steps):
        raise Unsplit("not every rank has it in the record")
    lacking = split.not_recomputed(judged(asked.reading).report.items, stretch.first)
    if lacking is not None:
        raise Unsplit(lacking)
    more = () if stretch.restart is None or part.resume is None else part.resume.words_for(stretch.restart.path)
    seen = tuple(each for each in part.replays.place.iterdir() if each.name.startswith("stretch-"))
    base = msgspec.structs.replace(
        part.replays.task,
        hidden=(*part.replays.task.hidden, *seen),
        more=more,
        cache=part.replays.place / f"split-cache-{number}",
        roots_behind=(0,),
        enough=(len(asked.recorded.steps), 1),
        samples=(key, stretch.first),
    )
    tasks = {
        kind: Task(name=f"split-{number}-{kind}", replay=_varied(kind, base), restart=stretch.restart, shares=True)
        for kind in _KINDS
    }
    return _Asked(record, tasks)


def _varied(kind: str, base: Replay) -> Replay:
    if kind == "threads":
        here = base.threads or base.cores or len(os.sched_getaffinity(0))
        return msgspec.structs.replace(base, threads=1 if here > 1 else 2)
    return msgspec.structs.replace(base, older=kind == "older", planted=kind == "planted")


def _answer(part: Part, number: int, asked: _Asked, outcomes: Mapping[str, Outcome], why: str | None) -> SplitAnswer:
    stretch = part.plan.stretches[number]
    environments: list[EnvironmentLine] = []
    made: dict[str, Mapping[int, StepGradients]] = {}
    try:
        for kind in _KINDS:
            reading, environment = _read(part, asked.tasks[kind], outcomes)
            environments.append(environment)
            if kind == "base":
                _require_as_recorded(part, number, reading)
            made[kind] = gradients_at(items_of(reading), 0, 0)
        others = tuple(made[kind] for kind in ("threads", "older"))
        told = split.split_of(stretch.first, asked.record, split.Replays(made["base"], others, made["planted"]))
    except Unsplit as reason:
        return SplitAnswer(_unsaid(part, number, why, reason), tuple(environments), len(_KINDS))
    steps, far = len(asked.record), split.too_far(told)
    answer = Replayed(
        number=number,
        means=_means(stretch),
        steps=steps,
        equal=steps if far is None else 0,
        reason=far or why,
        split=told,
    )
    return SplitAnswer(answer, tuple(environments), len(_KINDS))


def _unsaid(part: Part, number: int, why: str | None, reason: Unsplit) -> Replayed:
    """Nothing is said of the stretch: why it is not equal, and why not of its first Step up to rounding."""
    stretch = part.plan.stretches[number]
    said = f"step {stretch.first} cannot be compared up to rounding: {reason}"
    steps = stretch.steps * len(part.asked.recorded.steps)
    reason_of_both = said if why is None else f"{why}; {said}"
    return Replayed(number=number, means=_means(stretch), steps=steps, equal=0, reason=reason_of_both)


def _means(stretch: Stretch) -> Means:
    return "start" if stretch.restart is None else "resume"


def _read(part: Part, task: Task, outcomes: Mapping[str, Outcome]) -> tuple[RunMaterials, EnvironmentLine]:
    """Raises `Unsplit`."""
    outcome = outcomes[task.name]
    match outcome:
        case Refused():
            raise Unsplit(outcome.reason)
        case Lost():
            raise Unsplit(f"tried {outcome.tries} times and not replayed: {outcome.reason}")
    if outcome.reading is None or outcome.took_more is not None:
        raise Unsplit(f"a replay of it made no step: {outcome.ending}")
    return outcome.reading, environment_at(part.replays, outcome)


def _require_as_recorded(part: Part, number: int, reading: RunMaterials) -> None:
    """Everything but what rounding does. Raises `Unsplit`."""
    asked, stretch = part.asked, part.plan.stretches[number]
    apart = (
        loaded_apart(part, number, reading)
        or against_replay(reading)
        or first_step_apart(stretch, items_of(asked.reading), asked.attempt, items_of(reading))
    )
    if apart is not None:
        raise Unsplit(apart)
