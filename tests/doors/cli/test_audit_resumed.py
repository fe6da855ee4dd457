"""Tasks that an audit gives out, and what it makes of outcomes that are no record, whoever executes them."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from saksi.doors.cli import audit_resumed
from saksi.doors.cli.audit_resumed import Answer, Part, resumed
from saksi.judgement.replay.resume import Resume
from saksi.judgement.replay.sampled import Plan
from saksi.judgement.replay.stretches import CapsuleFile, Restart, Stretch
from saksi.judgement.replay.values import EnvironmentLine
from saksi.processes.auditor import replaying
from saksi.processes.auditor.executor import Lost, Refused
from saksi.processes.auditor.replaying import Replay

VERIFIED = EnvironmentLine(verified=True, approved_by=("maria",), differences=())
STRETCHES = (
    Stretch(first=0, behind=10),
    *(
        Stretch(first=at, behind=at + 10, restart=Restart(step=at - 1, path=f"{at}.pt", digest=f"sha256:{at}", size=1))
        for at in (10, 20, 30)
    ),
)


class Elsewhere:
    """An executor that has its answers."""

    def __init__(self, **outcomes):
        self.outcomes, self.tasks = outcomes, ()

    def run(self, tasks, *, said):
        self.tasks = tasks
        said(len(tasks))
        return self.outcomes


ROOTS = {(rank, step): "root" for rank in (0, 1) for step in (4, 9, 14, 19, 29, 34, 39)}


def part(*chosen, resume=("--resume", "{ckpt}"), memory=None):
    task = Replay(
        invocation=None, level="standard", segment=None, project=None, redaction_key=None, placed=(), written=(),
        hidden=(), cache=Path("/nowhere"), limit_s=1.0, memory=5,
    )  # fmt: skip
    recorded = SimpleNamespace(steps={0: 40, 1: 40}, roots=ROOTS)
    asked = SimpleNamespace(recorded=recorded, memory=memory)
    plan = Plan(stretches=STRETCHES, chosen=chosen, always=frozenset(), draw=None)
    return Part(asked, plan, SimpleNamespace(task=task), None if resume is None else Resume(words=resume))


@pytest.fixture(autouse=True)
def _simulated(monkeypatch):
    monkeypatch.setattr(audit_resumed, "environment_at", lambda *_: VERIFIED)
    monkeypatch.setattr(audit_resumed, "memory_share", lambda parts: 1200 // parts)


def test_what_was_lost_took_too_much_or_was_refused_says_nothing_of_its_stretch_and_why():
    took = replaying.Replayed(reading=None, code=None, last_words="", observed=None, took_more=1 << 31)
    executor = Elsewhere(**{"stretch-3": took, "stretch-1": Lost(2, "gone"), "stretch-2": Refused("changed")})
    found = resumed(part(0, 1, 2, 3), executor, 2)
    assert list(found) == [0, 1, 2, 3]
    assert found[0] == Answer(None)
    assert found[1] == Answer("tried 2 times and not replayed: gone", replays=1)
    assert found[2] == Answer("changed")
    why = "the replay did not come to its end: it was ended as it took more than 2 GiB of memory: see --memory"
    assert found[3] == Answer(why, VERIFIED, replays=1)


def test_each_task_resumes_at_its_own_model_checkpoint_and_goes_one_step_beyond():
    lost = {f"stretch-{number}": Lost(2, "gone") for number in (1, 3)}
    executor = Elsewhere(**lost)
    resumed(part(1, 3), executor, 4)
    one, last = executor.tasks
    assert (one.restart, one.replay.more, one.replay.enough) == (STRETCHES[1].restart, ("--resume", "10.pt"), (2, 11))
    assert (last.replay.more, last.replay.enough) == (("--resume", "30.pt"), None)


def test_a_replay_has_a_root_where_the_record_has_one_and_behind_the_last_step_that_it_makes():
    executor = Elsewhere(**{f"stretch-{number}": Lost(2, "gone") for number in (1, 3)})
    resumed(part(1, 3), executor, 1)
    one, last = executor.tasks
    assert (one.replay.roots_behind, one.replay.recorded_at) == ((4, 9, 10), None)
    assert (last.replay.roots_behind, last.replay.recorded_at) == ((4, 9), None)


def test_where_too_many_roots_would_have_to_be_named_each_step_has_one(monkeypatch):
    monkeypatch.setattr(audit_resumed, "_MAX_ROOTS", 2)
    executor = Elsewhere(**{f"stretch-{number}": Lost(2, "gone") for number in (1, 3)})
    resumed(part(1, 3), executor, 1)
    one, last = executor.tasks
    assert (one.replay.roots_behind, one.replay.recorded_at) == ((), "full")
    assert (last.replay.roots_behind, last.replay.recorded_at) == ((4, 9), None)


@pytest.mark.parametrize(("jobs", "memory", "share"), [(1, None, 1200), (2, None, 600), (9, None, 400), (9, 7, 7)])
def test_what_is_free_is_shared_out_between_those_that_go_side_by_side(jobs, memory, share):
    executor = Elsewhere(**{f"stretch-{number}": Lost(2, "gone") for number in (1, 2, 3)})
    resumed(part(1, 2, 3, memory=memory), executor, jobs)
    assert {task.replay.memory for task in executor.tasks} == {share}


def test_without_words_to_resume_with_nothing_is_given_out():
    executor = Elsewhere()
    found = resumed(part(0, 1, resume=None), executor, 2)
    assert (found[0], executor.tasks) == (Answer(None), ())
    assert found[1] == Answer("nothing says how the program resumes: --resume-with '--resume {ckpt}'")


NO_STEP = "the program did not get there"
OTHER = "step 20 of rank 0: another loss"


def capsule_at(at):
    file = CapsuleFile(rank=0, path=f"{at}", digest=f"sha256:{at}", size=1)
    restart = Restart(step=at - 1, path=file.path, digest=file.digest, size=1, capsules=(file,))
    return Stretch(first=at, behind=at + 10, restart=restart)


@pytest.fixture
def from_capsules(monkeypatch, tmp_path):
    """Ask for stretches that begin with capsules; `said` is what comes of each task: none is "equal"."""

    def ask(*chosen, said, elsewhere=False, other_data=False, got_there=True, against=None):
        def steps_of(reading, _):
            there = got_there and said.get(reading) != NO_STEP
            return SimpleNamespace(steps={0: 1} if there else {})

        monkeypatch.setattr(audit_resumed, "items_of", lambda reading: reading)
        monkeypatch.setattr(audit_resumed, "made_until", lambda *_, forward: {0: f"forward {forward}"})
        monkeypatch.setattr(audit_resumed, "recorded_of", steps_of)
        monkeypatch.setattr(audit_resumed, "against_replay", lambda reading: against)
        monkeypatch.setattr(audit_resumed, "is_elsewhere", lambda *_: elsewhere)
        monkeypatch.setattr(audit_resumed, "is_of_other_data", lambda *_: other_data)
        monkeypatch.setattr(audit_resumed, "_apart", lambda _part, _number, outcome: outcome.last_words)
        made = {
            name: apart
            if isinstance(apart, Lost)
            else replaying.Replayed(reading=name, code=0, last_words=apart, observed=None, took_more=None)
            for name, apart in said.items()
        }
        executor = Executed(made)
        asked = part(*chosen)
        asked.asked.reading, asked.asked.attempt = None, 0
        asked.replays.place = tmp_path
        (tmp_path / "stretch-1").mkdir()
        plan = Plan(
            stretches=(STRETCHES[0], *map(capsule_at, (10, 20, 30))), chosen=chosen, always=frozenset(), draw=None
        )
        return resumed(asked._replace(plan=plan), executor, 1), executor

    return ask


class Executed:
    """An executor that has its answers, and keeps what each task is told of the updates before its capsule."""

    def __init__(self, outcomes):
        self.outcomes, self.asked, self.hidden = outcomes, {}, {}

    def run(self, tasks, *, said):
        self.asked |= {task.name: task.made[0] for task in tasks}
        self.hidden |= {task.name: [each.name for each in task.replay.hidden] for task in tasks}
        said(len(tasks))
        return {task.name: self.outcomes[task.name] for task in tasks}


def test_a_stretch_that_is_another_behind_its_capsule_is_replayed_once_more_with_models_executed(from_capsules):
    found, executor = from_capsules(1, 2, said={"stretch-1": None, "stretch-2": OTHER, "stretch-2-executed": None})
    assert executor.asked == {name: f"forward {name.endswith('executed')}" for name in executor.asked}
    assert list(executor.asked) == ["stretch-1", "stretch-2", "stretch-2-executed"]
    assert [(each.answer.equal, each.replays, each.executed) for each in found.values()] == [
        (20, 1, False),
        (20, 2, True),
    ]


@pytest.mark.parametrize("second", [OTHER, NO_STEP, Lost(2, "gone")])
def test_one_that_is_another_even_so_keeps_what_was_said_of_it_first(from_capsules, second):
    found, _ = from_capsules(2, said={"stretch-2": OTHER, "stretch-2-executed": second})
    assert (found[2].answer, found[2].reading, found[2].replays) == (OTHER, "stretch-2", 2)
    assert not found[2].executed


def test_where_the_way_there_would_take_longer_than_a_replay_from_the_start_it_is_not_tried_again(from_capsules):
    said = {"stretch-1": OTHER, "stretch-2": OTHER, "stretch-3": OTHER}
    _, executor = from_capsules(1, 2, 3, said=said)
    assert list(executor.asked) == list(said)


def test_what_did_not_get_behind_its_capsule_is_not_tried_again(from_capsules):
    _, executor = from_capsules(2, said={"stretch-2": OTHER}, got_there=False)
    assert list(executor.asked) == ["stretch-2"]


@pytest.mark.parametrize("other_data", [False, True])
def test_where_a_difference_proves_nothing_it_has_to_look_like_other_data(from_capsules, other_data):
    said = {"stretch-2": OTHER, "stretch-2-executed": None}
    _, executor = from_capsules(2, said=said, elsewhere=True, other_data=other_data)
    assert ("stretch-2-executed" in executor.asked) is other_data


def test_a_replay_that_was_itself_found_otherwise_is_not_tried_again(from_capsules):
    _, executor = from_capsules(2, said={"stretch-2": OTHER}, against="its witness was cut off")
    assert list(executor.asked) == ["stretch-2"]


def test_what_is_replayed_once_more_sees_nothing_of_what_was_replayed_before(from_capsules):
    said = {"stretch-2": OTHER, "stretch-2-executed": None}
    _, executor = from_capsules(2, said=said)
    assert executor.hidden == {"stretch-2": [], "stretch-2-executed": ["stretch-1"]}
