"""Which stretches are told up to rounding, by which replays, and what is made of those; whoever executes them."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from judgement.checks.test_shadow_update import layout, packed, sample
from saksi.doors.cli import audit_resumed, audit_split
from saksi.doors.cli.audit_resumed import Answer, Part
from saksi.doors.cli.audit_split import up_to_rounding
from saksi.judgement.replay.place import Place
from saksi.judgement.replay.resume import Resume
from saksi.judgement.replay.sampled import Plan
from saksi.judgement.replay.stretches import Restart, Stretch
from saksi.judgement.replay.values import EnvironmentLine
from saksi.processes.auditor.executor import Lost, Refused
from saksi.processes.auditor.replaying import Replay, Replayed
from simulated_run import SimulatedRun, update_fields

VERIFIED = EnvironmentLine(verified=True, approved_by=("maria",), differences=())
DIGEST = "sha256:" + "c" * 64
STRETCHES = (
    Stretch(first=0, behind=4),
    Stretch(first=4, behind=8, restart=Restart(step=3, path="c", digest=DIGEST, size=1)),
)
KEY = "5b" * 32
WHY = "resumed there it is another: step 4 of rank 0: another loss"


def root(connection, step, digit, at="step"):
    connection.send("root", at=at, step=step, root=digit * 64, layout="0" * 64, tensors=1, bytes=4, leaves=None)


def recorded(
    first, steps, *, run="ff112233445566aa", digit="a", threads=1, nudge=0.0, loss=0.0, unsampled=None, **changes
):
    """A record of Steps that are those of the run from `first` on; gradient and loss of each are off by so much."""
    simulated = SimulatedRun(run)
    connection = simulated.attach(0, threads=threads)
    connection.send("seeded", generator="torch", seed="0", caller=None)
    root(connection, -1, digit, "attach")
    connection.send("sampled", **layout(key=KEY))
    for step in range(steps):
        gradient = [0.25 * (at + 1) for at in range(5)]
        made = sample(step)
        before = {"parameter": made["before"]["parameter"], "gradient": packed([gradient[0] + nudge, *gradient[1:]])}
        if step != unsampled:
            connection.send("sample", **made | {"before": before})
        fields = update_fields(first + step) | {"update": step}
        fields["loss"] += loss
        connection.update(**fields | changes)
        root(connection, step, digit if step == 3 else "b")
    connection.goodbye()
    return list(simulated.items())


def record():
    """All Steps of the run: it saves behind Step 3."""
    return recorded(0, 8, run="00112233445566aa")


def resumed(**changes):
    return recorded(4, 1, **changes)


def outcome(items):
    return Replayed(reading=items, code=None, last_words="", observed=None, enough=True)


NEAR = {"base": {}, "threads": {"nudge": 1e-6}, "older": {"nudge": -1e-6}, "planted": {"nudge": 0.1}}


class Elsewhere:
    """An executor that has its answers, by kind of replay."""

    def __init__(self, **changes):
        self.changes = {**NEAR, **changes}
        self.tasks = []

    def run(self, tasks, *, said):
        self.tasks += tasks
        made = {}
        for task in tasks:
            change = self.changes[task.name.rpartition("-")[2]]
            first = 0 if task.restart is None else 4
            made[task.name] = outcome(recorded(first, 1, **change)) if isinstance(change, dict) else change
        return made


@pytest.fixture
def split(monkeypatch, tmp_path):
    """Asks what comes of stretches, after replays of them that left these records."""
    findings = []
    for module in (audit_split, audit_resumed):
        monkeypatch.setattr(module, "items_of", iter)
        monkeypatch.setattr(module, "environment_at", lambda *_: VERIFIED)
    monkeypatch.setattr(audit_split, "against_replay", lambda _: None)
    monkeypatch.setattr(audit_split, "loaded_apart", lambda *_: None)
    monkeypatch.setattr(audit_split, "memory_share", lambda parts: 1200 // parts)
    monkeypatch.setattr(audit_split, "judged", lambda _: SimpleNamespace(report=SimpleNamespace(items=findings)))

    def ask(
        readings,
        *,
        rest=(1,),
        executor=None,
        jobs=1,
        found=(),
        here=True,
        memory=None,
        items=None,
        variables=None,
        given=None,
    ):
        findings.extend(found)
        task = Replay(
            invocation=SimpleNamespace(environment=variables or {}), level="standard", segment=None, project=None,
            redaction_key=None, placed=(), written=(), hidden=(), cache=Path("/nowhere"), limit_s=1.0, memory=5,
            threads=given,
        )  # fmt: skip
        machine = None if here else "another than that of the replays, which do not say theirs"
        place = Place(machine=machine, cores=None, processors=None, threads=1, given=False)
        asked = SimpleNamespace(
            recorded=SimpleNamespace(steps={0: 8}, place=place), memory=memory, reading=items or record(), attempt=0
        )
        plan = Plan(stretches=STRETCHES, chosen=rest, always=frozenset(), draw=None)
        part = Part(asked, plan, SimpleNamespace(task=task, place=tmp_path), Resume(words=("--resume", "{ckpt}")))
        answers = {number: Answer(WHY, VERIFIED, replays=1, reading=readings.get(number)) for number in rest}
        answers.update({number: Answer(None) for number in rest if number == 0})
        return up_to_rounding(part, executor or Elsewhere(), jobs, answers, rest)

    return ask


def test_with_other_threads_the_first_step_is_told_from_four_replays(split):
    executor = Elsewhere()
    found = split({1: resumed(loss=1e-9)}, given=3, executor=executor)
    (answer,) = found.answers.values()
    assert (answer.number, answer.means, answer.steps, answer.equal, answer.reason) == (1, "resume", 1, 1, WHY)
    assert (answer.split.step, answer.split.elements) == (4, 5)
    assert (found.replays, found.environments) == (4, (VERIFIED,) * 4)
    assert [task.name for task in executor.tasks] == [
        "split-1-base",
        "split-1-threads",
        "split-1-older",
        "split-1-planted",
    ]
    base, threads, older, planted = (task.replay for task in executor.tasks)
    assert {(each.more, each.enough, each.samples) for each in (base, threads, older, planted)} == {
        (("--resume", "c"), (1, 1), (KEY, 4))
    }
    assert threads.threads == 1
    assert (base.threads, base.varied, threads.varied, base.planted, planted.planted) == (3, (), (), False, True)
    assert dict(older.varied)["ATEN_CPU_CAPABILITY"] == "default"
    assert len({task.replay.cache for task in executor.tasks}) == 1
    assert all(task.shares for task in executor.tasks)


def test_the_start_of_the_program_is_told_as_its_own_first_step(split):
    executor = Elsewhere()
    found = split({1: resumed()}, given=3, rest=(0, 1), executor=executor)
    assert [(each.means, each.split.step, each.reason) for each in found.answers.values()] == [
        ("start", 0, None), ("resume", 4, WHY),
    ]  # fmt: skip
    assert [(task.restart, task.replay.more) for task in executor.tasks[:4]] == [(None, ())] * 4


@pytest.mark.parametrize(("said", "other"), [("8", "1"), ("1", "2")])
def test_threads_that_the_programs_variables_say_are_others_there_too(split, said, other):
    executor = Elsewhere()
    split({1: resumed()}, given=3, executor=executor, variables={"OMP_NUM_THREADS": said})
    assert executor.tasks[1].replay.varied == (("OMP_NUM_THREADS", other),)
    assert executor.tasks[0].replay.varied == ()


def test_on_another_machine_it_is_told_whatever_the_threads(split):
    executor = Elsewhere()
    assert list(split({1: resumed()}, executor=executor, here=False).answers) == [1]
    assert executor.tasks[0].replay.threads is None


def test_a_record_that_claims_other_threads_gets_no_weaker_tier_by_that(split):
    executor = Elsewhere(again={"threads": 3})
    assert split({1: resumed(threads=3)}, executor=executor).answers == {}
    assert split({1: resumed(losses=2)}, executor=executor, given=1).answers == {}


def test_replays_of_other_stretches_see_none_of_the_bytecode(split):
    executor = Elsewhere()
    split({1: resumed()}, rest=(0, 1), executor=executor, given=3)
    first, second = (executor.tasks[at].replay for at in (0, 4))
    assert first.cache != second.cache
    assert first.cache in second.hidden
    assert second.cache in first.hidden
    assert first.cache not in first.hidden


def test_on_the_same_machine_a_difference_is_left_to_a_replay_from_the_start(split):
    executor = Elsewhere(again={"loss": 0.25})
    found = split({1: resumed(loss=0.25)}, executor=executor)
    assert (found.answers, found.replays) == ({}, 1)  # the step repeats itself


def test_where_the_step_does_not_repeat_itself_but_for_rounding_it_is_told(split):
    executor = Elsewhere(again={"loss": 1e-9})
    found = split({1: resumed()}, executor=executor)
    assert (list(found.answers), found.replays, len(executor.tasks)) == ([1], 5, 5)


@pytest.mark.parametrize("change", [{"losses": 2}, {"digit": "c"}, {"groups": []}])
def test_what_is_no_rounding_is_not_replayed_again_on_the_same_machine(split, change):
    executor = Elsewhere()
    assert split({1: resumed(**change)}, executor=executor).answers == {}
    assert executor.tasks == []


@pytest.mark.parametrize(("here", "told"), [(False, [0]), (True, [])])
def test_where_nothing_was_resumed_one_step_that_is_replayed_tells_where_it_is(split, here, told):
    executor = Elsewhere(again={})
    found = split({}, rest=(0,), executor=executor, here=here)
    assert (list(found.answers), found.replays) == (told, 5 if told else 1)
    assert (executor.tasks[0].name, executor.tasks[0].restart) == ("split-0-again", None)


def test_a_record_that_is_too_far_is_not_equal_and_says_where(split):
    far = Elsewhere(base={"nudge": 0.01}, threads={"nudge": 0.01}, older={"nudge": 0.01})
    (answer,) = split({1: resumed()}, given=3, executor=far).answers.values()
    assert (answer.steps, answer.equal) == (1, 0)
    assert answer.split.slack > 1.0
    assert answer.reason.startswith("step 4: the gradient of a.weight is ")
    assert answer.reason.endswith("explains here; or the program does not put everything back as it resumes")


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"base": {"digit": "c"}}, "the state that rank 0 resumed with is not bound by the root behind step 3"),
        ({"base": {"groups": []}}, "step 4 of rank 0: another groups"),
        ({"planted": {"nudge": 0.0}}, "one changed label does not show"),
        ({"older": Refused("changed")}, "changed"),
        ({"threads": Lost(2, "gone")}, "tried 2 times and not replayed: gone"),
        (
            {"planted": Replayed(reading=None, code=3, last_words="", observed=None)},
            "a replay of it did not come to its end: it ended with exit code 3",
        ),
    ],
)
def test_what_stands_in_the_way_is_said_and_no_answer(split, changes, why):
    found = split({1: resumed()}, given=3, executor=Elsewhere(**changes))
    assert found.answers == {}
    assert found.unsaid[1].startswith(f"step 4 cannot be compared up to rounding: {why}")
    assert found.replays == 4 - ("older" in changes)


@pytest.mark.parametrize("change", [{"digit": "c"}, {"groups": []}])
def test_what_is_more_than_rounding_in_what_was_replayed_already_is_replayed_by_nobody(split, change):
    executor = Elsewhere()
    found = split({1: resumed(**change)}, given=3, executor=executor)
    assert (executor.tasks, found.answers, found.replays) == ([], {}, 0)
    assert found.unsaid[1].startswith("step 4 cannot be compared up to rounding: ")


def test_where_a_replay_made_no_step_what_was_said_of_it_is_the_reason(split):
    run = SimulatedRun()
    run.attach(0)
    executor = Elsewhere()
    found = split({1: run.items()}, given=3, executor=executor)
    assert (found.answers, executor.tasks) == ({}, [])
    assert found.unsaid == {1: f"step 4 cannot be compared up to rounding: {WHY}"}


def test_a_step_that_has_no_samples_is_not_replayed(split):
    executor = Elsewhere()
    found = split({1: resumed()}, given=3, executor=executor, items=recorded(0, 8, run="00112233445566aa", unsampled=4))
    assert executor.tasks == []
    assert found.unsaid == {1: "step 4 cannot be compared up to rounding: the record has no samples of it"}


@pytest.mark.parametrize(("jobs", "memory", "share"), [(1, None, 1200), (2, None, 600), (9, None, 300), (2, 7, 7)])
def test_what_is_free_is_shared_out_between_those_that_go_side_by_side(split, jobs, memory, share):
    executor = Elsewhere()
    split({1: resumed()}, given=3, executor=executor, jobs=jobs, memory=memory)
    assert {task.replay.memory for task in executor.tasks} == {share}
