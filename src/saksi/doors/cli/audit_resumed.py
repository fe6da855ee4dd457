"""Stretches that begin at model checkpoints and capsules: the tasks that are given out, and what is made of outcomes.

Rules: outcomes are judged here and nowhere else, each by itself, in the order of the stretches, however they came. One
whose replay came to no end, since its worker was lost or it took too much memory, is compared with nothing, and says
nothing of the stretch: what it resumed from was written by whoever may have reason to stop it there.

A stretch behind a capsule that is another is replayed once more, with models executed on the way, where that takes less
than a replay from the start: a script that draws its next batch between a forward pass and its update draws it from
what dropout left of a generator.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from saksi.doors.cli.audit_asked import AuditAsked, Replays
from saksi.doors.cli.audit_replays import against_replay, environment_at, memory_share
from saksi.doors.cli.progress import counter
from saksi.doors.cli.reading import items_of
from saksi.edges.runs import RunMaterials
from saksi.judgement.replay.capsules import made_until, saves_steps
from saksi.judgement.replay.place import other_place
from saksi.judgement.replay.recorded import recorded_of
from saksi.judgement.replay.resume import Resume
from saksi.judgement.replay.resumed import compare_resumed, is_of_other_data
from saksi.judgement.replay.sampled import Plan, Replayed
from saksi.judgement.replay.stretches import Restart, Stretch, loads_within
from saksi.judgement.replay.values import EnvironmentLine
from saksi.processes.auditor import replaying
from saksi.processes.auditor.executor import Executor, Lost, Outcome, Refused, Task

__all__ = ["Answer", "Beginning", "Part", "beginning", "earlier_replays", "is_elsewhere", "loaded_apart", "resumed"]

_REPLAYS: Final = ("stretch-", "split-", "from-")
"""What the folders of an audit's replays begin with."""
_MAX_ROOTS: Final = 10_000
"""Steps that are named one by one, in a variable, which holds 128 KiB: where there are more, each has a root."""


class Part(NamedTuple):
    """What is asked, planned, and where it is done."""

    asked: AuditAsked
    plan: Plan
    replays: Replays
    resume: Resume | None


class Answer(NamedTuple):
    """What came of resuming: the stretch, why that says nothing, or `None` if it begins the run.

    `replays` is how often it was replayed, and `reading` the record that this left; `executed`: models were, on the way
    to a capsule.
    """

    answer: Replayed | str | None
    environment: EnvironmentLine | None = None
    replays: int = 0
    reading: RunMaterials | None = None
    executed: bool = False


class Beginning(NamedTuple):
    """How a replay of a stretch begins: from what, with which words behind those of the command.

    `made` is what each rank is told of the updates before a capsule; `reason` is why it cannot begin there.
    """

    restart: Restart | None = None
    more: tuple[str, ...] = ()
    made: dict[int, str] | None = None
    reason: str | None = None


def resumed(part: Part, executor: Executor, jobs: int) -> dict[int, Answer]:
    """What came of each stretch that was chosen, in their order; `jobs` may be executed side by side.

    Raises `NotReplayed`, `SaksiError`, `OSError`.
    """
    answers = _in_turn(part, executor, jobs, part.plan.chosen)
    again = [number for number, each in answers.items() if _may_have_drawn_otherwise(part, number, each)]
    if not again or not saves_steps([part.plan.stretches[each] for each in again]):
        return answers
    for number, each in _in_turn(part, executor, jobs, again, executed=True).items():
        before = answers[number]
        got_there = _has_steps(each) and not _may_have_drawn_otherwise(part, number, each)
        answers[number] = (each if got_there else before)._replace(replays=before.replays + each.replays)
    return answers


def _in_turn(
    part: Part, executor: Executor, jobs: int, numbers: Iterable[int], *, executed: bool = False
) -> dict[int, Answer]:
    memory = part.asked.memory or memory_share(max(1, min(jobs, len(part.plan.chosen))))
    tasks: dict[int, Task] = {}
    answers: dict[int, Answer] = {}
    for each in numbers:
        begun = beginning(part, each, executed=executed)
        answers[each] = Answer(begun.reason)
        if begun.restart is not None and begun.reason is None:
            task = _task(part, each, begun, memory)
            tasks[each] = _once_more(part, task) if executed else task
    said = "replaying stretches once more" if executed else "replaying stretches"
    with counter(max(1, len(tasks)), said, shown=bool(tasks)) as hear:
        outcomes = executor.run(tuple(tasks.values()), said=hear)
    for each, task in tasks.items():
        answers[each] = _answer(part, each, outcomes[task.name])._replace(executed=executed)
    return answers


def _once_more(part: Part, task: Task) -> Task:
    hidden = (*task.replay.hidden, *earlier_replays(part.replays))
    replay = msgspec.structs.replace(task.replay, hidden=hidden)
    return msgspec.structs.replace(task, name=f"{task.name}-executed", replay=replay)


def earlier_replays(replays: Replays) -> tuple[Path, ...]:
    """Folders of the replays that were made until now: none that follows sees them."""
    return tuple(each for each in replays.place.iterdir() if each.name.startswith(_REPLAYS))


def _may_have_drawn_otherwise(part: Part, number: int, answer: Answer) -> bool:
    """Whether a replay began its stretch with a capsule, and is then another, maybe for want of what models drew.

    Where a difference proves nothing, rounding makes some: there it has to be more, in the first Step.
    """
    stretch, asked, reading = part.plan.stretches[number], part.asked, answer.reading
    if stretch.means != "capsule" or isinstance(answer.answer, Replayed):
        return False
    if reading is None or not _has_steps(answer) or against_replay(reading) is not None:
        return False
    if not is_elsewhere(part, (reading,)):
        return True
    record = items_of(asked.reading)
    return is_of_other_data(stretch, record, asked.attempt, items_of(reading))


def _has_steps(answer: Answer) -> bool:
    return answer.reading is not None and bool(recorded_of(items_of(answer.reading), 0).steps)


def is_elsewhere(part: Part, readings: Iterable[RunMaterials]) -> bool:
    """Whether replays are where a difference proves nothing: with threads that whoever audits chose, or as seals say.

    How many threads the run had is its own word, which must not get it the weaker tier.
    """
    was = part.asked.recorded.place
    if part.replays.task.threads not in (None, was.threads):
        return True
    return any(other_place(was, recorded_of(items_of(each), 0).place) is not None for each in readings)


def _task(part: Part, number: int, begun: Beginning, memory: int | None) -> Task:
    stretch = part.plan.stretches[number]
    enough = None if _is_last(part, number) else (len(part.asked.recorded.steps), stretch.steps + 1)
    roots = _roots_behind(part, stretch, beyond=enough is not None)
    replay = msgspec.structs.replace(
        part.replays.task,
        more=begun.more,
        recorded_at="full" if len(roots) > _MAX_ROOTS else None,
        roots_behind=roots if len(roots) <= _MAX_ROOTS else (),
        enough=enough,
        memory=memory,
    )
    return Task(name=f"stretch-{number}", replay=replay, restart=begun.restart, made=begun.made)


def beginning(part: Part, number: int, *, executed: bool = False) -> Beginning:
    """How a replay of that stretch begins; before a capsule with models `executed`, or not.

    Raises what reading the record raises.
    """
    restart = part.plan.stretches[number].restart
    if restart is None:
        return Beginning()
    if restart.capsules:
        ranks = [each.rank for each in restart.capsules]
        items = items_of(part.asked.reading)
        made = made_until(items, part.asked.attempt, restart.step, ranks, forward=executed)
        lacking = f"the record does not have every update before step {restart.step + 1}"
        return Beginning(restart=restart, made=made, reason=lacking if made is None else None)
    if part.resume is None:
        return Beginning(
            restart=restart, reason="nothing says how the program resumes: --resume-with '--resume {ckpt}'"
        )
    return Beginning(restart=restart, more=part.resume.words_for(restart.path))


def _roots_behind(part: Part, stretch: Stretch, *, beyond: bool) -> tuple[int, ...]:
    """The Steps of the replay behind which it needs a root: where the record has one, and the last that it makes.

    At level full each has one anyway.
    """
    if part.replays.task.level == "full":
        return ()
    found = {step - stretch.first for _, step in part.asked.recorded.roots if stretch.first <= step < stretch.behind}
    return tuple(sorted(found | {stretch.steps} if beyond else found))


def _is_last(part: Part, number: int) -> bool:
    return number + 1 == len(part.plan.stretches)


def _answer(part: Part, number: int, outcome: Outcome) -> Answer:
    match outcome:
        case Refused():
            return Answer(outcome.reason)
        case Lost():
            said = f"tried {outcome.tries} times and not replayed: {outcome.reason}"
            return Answer(said, replays=1)
    environment = environment_at(part.replays, outcome)
    if outcome.took_more is not None:
        return Answer(str(replaying.TookTooMuch(outcome)), environment, replays=1)
    apart = _apart(part, number, outcome)
    answer = _stretch(part, number) if apart is None else apart
    return Answer(answer, environment, replays=1, reading=outcome.reading)


def loaded_apart(part: Part, number: int, reading: RunMaterials) -> str | None:
    """Why what a replay that resumed had loaded by its first Step is not what it was to resume from."""
    restart = part.plan.stretches[number].restart
    loaded = loads_within(items_of(reading), 0)
    known = loads_within(items_of(part.asked.reading), part.asked.attempt)
    if restart is not None and not restart.capsules and not {restart.digest} <= loaded <= {restart.digest, *known}:
        return f"resumed, it loaded other files than {restart.path}"
    return None


def _stretch(part: Part, number: int) -> Replayed:
    stretch = part.plan.stretches[number]
    steps = stretch.steps * len(part.asked.recorded.steps)
    return Replayed(number=number, means=stretch.means, steps=steps, equal=steps, reason=None)


def _apart(part: Part, number: int, replayed: replaying.Replayed) -> str | None:
    """Why a replay that resumed says nothing of the stretch; `None` where all of it is as recorded."""
    asked, stretch = part.asked, part.plan.stretches[number]
    if replayed.reading is None:
        return f"the replay that resumed left no record: {replayed.ending}"
    if stretch.means == "capsule" and not recorded_of(items_of(replayed.reading), 0).steps:
        return f"begun with a capsule, the program did not get to step {stretch.first}: {replayed.ending}"
    against = loaded_apart(part, number, replayed.reading) or against_replay(replayed.reading)
    if against is not None:
        return against
    beyond = not _is_last(part, number)
    compared = compare_resumed(
        stretch, items_of(asked.reading), asked.attempt, items_of(replayed.reading), beyond=beyond
    )
    whole = stretch.steps * len(asked.recorded.steps)
    if not compared.matches or compared.steps != whole:
        said = compared.apart or (replayed.ending if compared.steps == whole else "the record lacks steps of it")
        return f"{'begun with a capsule' if stretch.means == 'capsule' else 'resumed there'} it is another: {said}"
    return None
