"""Stretches that differ where nothing else may have been done but rounding: their first Step in the tier *split*.

Rules: it is tried only where a difference proves nothing, on another machine or where kernels do not repeat
themselves, so a record that does not come out as near as rounding stays `not_checkable`; each replay of it makes one
Step, and sees nothing of the others but the bytecode of those that begin with it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from saksi.doors.cli.audit_asked import new_folder
from saksi.doors.cli.audit_replays import against_replay, environment_at, memory_share
from saksi.doors.cli.audit_resumed import (
    Answer,
    Beginning,
    Part,
    beginning,
    earlier_replays,
    is_elsewhere,
    loaded_apart,
)
from saksi.doors.cli.progress import counter
from saksi.doors.cli.reading import items_of, judged
from saksi.edges.runs import RunMaterials
from saksi.judgement.replay import split
from saksi.judgement.replay.gradients import StepGradients, gradients_at
from saksi.judgement.replay.recorded import recorded_of
from saksi.judgement.replay.resumed import are_apart_by_rounding, first_step_apart
from saksi.judgement.replay.sampled import Replayed
from saksi.judgement.replay.split import Unsplit
from saksi.judgement.replay.stretches import Means
from saksi.judgement.replay.values import EnvironmentLine
from saksi.processes.auditor.executor import Executor, Lost, Outcome, Refused, Task
from saksi.processes.auditor.replaying import Replay
from saksi.words.findings import Finding

__all__ = ["NOTHING", "THREADS", "UpToRounding", "up_to_rounding"]

_KINDS: Final = ("base", "threads", "older", "planted")
"""Replays of one Step: as it is; with other threads; with older instructions; and with a label changed."""

THREADS: Final = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
"""Variables of a program that say how many threads torch has, whatever an audit asks for."""

_OLDER: Final = (
    ("ATEN_CPU_CAPABILITY", "default"),
    ("MKL_ENABLE_INSTRUCTIONS", "SSE4_2"),
    ("ONEDNN_MAX_CPU_ISA", "SSE41"),
)
"""For torch's own kernels, MKL and oneDNN; each takes what it has where it does not know the word."""


class UpToRounding(NamedTuple):
    """What came of stretches, by number, in so many replays; of those that are `unsaid`, why."""

    answers: dict[int, Replayed]
    environments: tuple[EnvironmentLine, ...]
    replays: int
    unsaid: Mapping[int, str]


NOTHING: Final = UpToRounding({}, (), 0, {})
_OR_NOT_PUT_BACK: Final[Mapping[Means, str]] = {
    "start": "",
    "resume": "; or the program does not put everything back as it resumes",
    "capsule": "; or the program keeps something that no capsule has",
}
"""What would explain it besides: a replay that did not begin at the start may lack what no root binds."""


class _Told(NamedTuple):
    """What came of one stretch, or why nothing did."""

    number: int
    answer: Replayed | str
    environments: tuple[EnvironmentLine, ...]
    replays: int


class _Asked(NamedTuple):
    """One Step that may be told, and the tasks for it by kind."""

    record: Mapping[int, StepGradients]
    tasks: Mapping[str, Task]


def up_to_rounding(
    part: Part, executor: Executor, jobs: int, answers: Mapping[int, Answer], rest: Sequence[int]
) -> UpToRounding:
    """The first Step of each of the `rest` of the stretches; of none where a difference may prove something.

    `answers` are those that were resumed. Raises `NotReplayed`, `SaksiError`, `OSError`.
    """
    readings = {number: each.reading for number, each in answers.items() if each.reading is not None}
    replays = 0
    if not is_elsewhere(part, readings.values()):
        number = _to_replay_again(part, readings, rest)
        if number is None:
            return NOTHING
        replays = 1
        if not _is_other_once_more(part, executor, number, answers[number]):
            return NOTHING._replace(replays=replays)
    told, unsaid = _split_steps(part, executor, jobs, answers, rest)
    environments = tuple(line for each in told for line in each.environments)
    found = {each.number: each.answer for each in told if isinstance(each.answer, Replayed)}
    unsaid |= {each.number: each.answer for each in told if isinstance(each.answer, str)}
    return UpToRounding(found, environments, replays + sum(each.replays for each in told), unsaid)


def _to_replay_again(part: Part, readings: Mapping[int, RunMaterials], rest: Sequence[int]) -> int | None:
    """Whose first Step tells whether a difference may be rounding: one that may itself, or any, where none was resumed.

    `None` if the place is known, and what is apart is more than rounding.
    """
    if not readings:
        return next(iter(rest), None)
    asked, stretches = part.asked, part.plan.stretches
    for number in rest:
        record, reading = items_of(asked.reading), readings.get(number)
        if reading is not None and not first_step_apart(stretches[number], record, asked.attempt, items_of(reading)):
            return number
    return None


def _is_other_once_more(part: Part, executor: Executor, number: int, answer: Answer) -> bool:
    """Whether the first Step of a stretch, replayed once more, is elsewhere, or another up to rounding than before."""
    begun = beginning(part, number, executed=answer.executed)
    if begun.reason is not None:
        return False
    task = Task(
        name=f"split-{number}-again",
        replay=_first_step(part, begun),
        restart=begun.restart,
        made=begun.made,
        kept=False,
    )
    with counter(1, "replaying a step once more", shown=True) as hear:
        outcome = executor.run((task,), said=hear)[task.name]
    if isinstance(outcome, Refused | Lost) or outcome.reading is None:
        return False
    if answer.reading is None:
        return is_elsewhere(part, (outcome.reading,))
    return are_apart_by_rounding(items_of(answer.reading), items_of(outcome.reading))


def _split_steps(
    part: Part, executor: Executor, jobs: int, answers: Mapping[int, Answer], rest: Sequence[int]
) -> tuple[list[_Told], dict[int, str]]:
    """What came of each that was replayed for it; and why the others were not."""
    asked: dict[int, _Asked] = {}
    unsaid: dict[int, str] = {}
    findings = judged(part.asked.reading).report.items
    for number in rest:
        try:
            asked[number] = _asked(part, number, answers[number], findings)
        except Unsplit as reason:
            unsaid[number] = _unsaid(part, number, reason)
    memory = part.asked.memory or memory_share(max(1, min(jobs, len(asked) * len(_KINDS))))
    caches = {number: new_folder(part.replays.place, f"split-cache-{number}") for number in asked}
    tasks = [
        _set_apart(task, memory, caches[number], tuple(each for each in caches.values() if each != caches[number]))
        for number, each in asked.items()
        for task in each.tasks.values()
    ]
    with counter(max(1, len(tasks)), "measuring what rounding does", shown=bool(tasks)) as hear:
        outcomes = executor.run(tasks, said=hear)
    return [_told(part, number, each, outcomes, answers[number]) for number, each in asked.items()], unsaid


def _asked(part: Part, number: int, answer: Answer, findings: Sequence[Finding]) -> _Asked:
    """Raises `Unsplit`, also where what was replayed of it already is apart by more than rounding."""
    asked, stretch = part.asked, part.plan.stretches[number]
    if answer.reading is not None:
        if isinstance(answer.answer, str) and not recorded_of(items_of(answer.reading), 0).steps:
            raise Unsplit(answer.answer)
        _require_as_recorded(part, number, answer.reading)
    record = gradients_at(items_of(asked.reading), asked.attempt, stretch.first)
    key = split.key_of(record)
    if len(record) != len(asked.recorded.steps):
        raise Unsplit("not every rank has it in the record")
    lacking = split.not_recomputed(findings, stretch.first)
    if lacking is not None:
        raise Unsplit(lacking)
    begun = beginning(part, number, executed=answer.executed)
    if begun.reason is not None:
        raise Unsplit(begun.reason)
    base = msgspec.structs.replace(_first_step(part, begun), samples=(key, stretch.first))
    tasks = {
        kind: Task(
            name=f"split-{number}-{kind}",
            replay=_varied(kind, base),
            restart=begun.restart,
            made=begun.made,
            shares=True,
            kept=False,
        )
        for kind in _KINDS
    }
    return _Asked(record, tasks)


def _first_step(part: Part, begun: Beginning) -> Replay:
    """One Step, from where the stretch begins, in which nothing of other replays is seen."""
    task = part.replays.task
    return msgspec.structs.replace(
        task,
        hidden=(*task.hidden, *earlier_replays(part.replays)),
        more=begun.more,
        roots_behind=(0,),
        enough=(len(part.asked.recorded.steps), 1),
    )


def _set_apart(task: Task, memory: int | None, cache: Path, others: tuple[Path, ...]) -> Task:
    """With a share of the memory, and bytecode that replays of other stretches do not see, nor it theirs."""
    hidden = (*task.replay.hidden, *others)
    return msgspec.structs.replace(
        task, replay=msgspec.structs.replace(task.replay, memory=memory, cache=cache, hidden=hidden)
    )


def _varied(kind: str, base: Replay) -> Replay:
    match kind:
        case "threads":
            said = {name: base.invocation.environment[name] for name in THREADS if name in base.invocation.environment}
            here = base.threads or base.cores or len(os.sched_getaffinity(0))
            alone = said.get(THREADS[0], "1" if here == 1 else "") == "1"
            other = 2 if alone else 1
            return msgspec.structs.replace(base, threads=other, varied=tuple((name, str(other)) for name in said))
        case "older":
            return msgspec.structs.replace(base, varied=_OLDER)
        case _:
            return msgspec.structs.replace(base, planted=kind == "planted")


def _told(part: Part, number: int, asked: _Asked, outcomes: Mapping[str, Outcome], before: Answer) -> _Told:
    stretch = part.plan.stretches[number]
    replays = sum(not isinstance(outcomes[task.name], Refused) for task in asked.tasks.values())
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
        found = split.split_of(stretch.first, asked.record, split.Replays(made["base"], others, made["planted"]))
    except Unsplit as reason:
        return _Told(number, _unsaid(part, number, reason), tuple(environments), replays)
    steps, far = len(asked.record), split.too_far(found)
    equal, why = steps if far is None else 0, before.answer if isinstance(before.answer, str) else None
    if far is not None:
        why = f"{far}{_OR_NOT_PUT_BACK[stretch.means]}"
    answer = Replayed(number=number, means=stretch.means, steps=steps, equal=equal, reason=why, split=found)
    return _Told(number, answer, tuple(environments), replays)


def _unsaid(part: Part, number: int, reason: Unsplit) -> str:
    return f"step {part.plan.stretches[number].first} cannot be compared up to rounding: {reason}"


def _read(part: Part, task: Task, outcomes: Mapping[str, Outcome]) -> tuple[RunMaterials, EnvironmentLine]:
    """Raises `Unsplit`."""
    outcome = outcomes[task.name]
    match outcome:
        case Refused():
            raise Unsplit(outcome.reason)
        case Lost():
            raise Unsplit(f"tried {outcome.tries} times and not replayed: {outcome.reason}")
    if outcome.reading is None or not (outcome.enough or outcome.code == 0):
        raise Unsplit(f"a replay of it did not come to its end: {outcome.ending}")
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
