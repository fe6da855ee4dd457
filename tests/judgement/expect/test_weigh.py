"""Findings under a seal file that expects some, from records to the verdict."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from doors.cli.cli_home import SealedRun
from judgement.checks import test_gradients as gradients
from judgement.checks import test_shadow_update as shadow
from judgement.checks.test_continuity import prints
from judgement.expectations import PRUNED, declared, expectation
from judgement.seals import CREATOR, MARIA, plain_seal_file, signed_file
from saksi.judgement.approvals import Approvers, assurance_of
from saksi.judgement.checks import ALL
from saksi.judgement.checks.fold import MAX_EVIDENCE
from saksi.judgement.checks.gradients import GRADIENTS
from saksi.judgement.checks.judging import Judging
from saksi.judgement.checks.shadow_update import SHADOW_UPDATES
from saksi.judgement.expect.values import covers
from saksi.judgement.expect.weigh import Expected
from saksi.judgement.verdict import exit_code, judge
from saksi.words.findings import Finding
from saksi.words.records import FindingRecord

BY_MARIA = Approvers(approvers=(MARIA.key,), known=(CREATOR.key,))
NOBODY = Approvers(approvers=())
DECAY = "plan.hyper_parameter_changed"
BY = "Expected by the approved seal file: "
NOT_BY = "no approver whose key is trusted here signed that: "


def launched(*expected, signers=(CREATOR, MARIA), file=True):
    """An attempt under a seal file that expects this; or, without a file, under a seal alone."""
    simulated = SealedRun(expect=expected or msgspec.UNSET)
    if file:
        approve(simulated, *expected, signers=signers)
    return simulated


def approve(simulated, *expected, signers=(CREATOR, MARIA)):
    simulated.approve(signed_file(plain_seal_file(expect=expected or msgspec.UNSET), *signers).content)


def train(simulated, *, edited=(), steps=60, decay=lambda _: 0.1, rank=0, world_size=1, ended=True):
    """Updates before some of which the parameters are `edited`, with this weight decay."""
    connection = simulated.attach(rank, world_size=world_size)
    begin = "a"
    for step in range(steps):
        begin = "e" if step in edited else begin
        end = "b" if begin in "ae" else "a"
        connection.update(fingerprints=[prints(begin, end)], groups=[{"lr": 0.1, "weight_decay": decay(step)}])
        connection.flush()
        begin = end
    connection.goodbye()
    if ended:
        simulated.exit()
    return simulated


def judged(simulated, keys=BY_MARIA):
    assurance = assurance_of(simulated.entries, simulated.blob, keys)
    return judge(simulated.items(), run=simulated.run, assurance=assurance).report


def found(simulated, code=PRUNED, keys=BY_MARIA):
    items = judged(simulated, keys).items
    return [(each.severity, each.first_step, each.last_step) for each in items if each.code == code]


def message(simulated, keys=BY_MARIA, code=PRUNED):
    (one,) = [each for each in judged(simulated, keys).items if each.code == code]
    return one.message


def test_without_an_expectation_an_edit_is_a_warning():
    assert found(train(launched(), edited=[21])) == [("warning", 21, 21)]


def test_what_an_approver_expects_is_told_and_alleges_nothing():
    simulated = train(launched(expectation(steps=((21, 21),), rank=0)), edited=[21])
    report = judged(simulated)
    (only,) = [each for each in report.items if each.code == PRUNED]
    assert (only.severity, only.alleges, only.first_step) == ("info", "unknown", 21)
    assert only.message.endswith(f"{BY}It is pruned by hand.")
    assert (report.verdict, exit_code(report)) == ("unknown", 3)
    assert exit_code(report, fail_on="info") == 1


@pytest.mark.parametrize(
    "elsewhere",
    [
        {"steps": ((20, 20), (22, 22))},
        {"subject": "moments of optimizer 0"},
        {"subject": "parameters of optimizer 1"},
        {"rank": 1},
        {"every": 10},
        {"code": DECAY},
    ],
)
def test_the_same_at_another_step_or_on_another_object_is_found(elsewhere):
    simulated = train(launched(expectation(**elsewhere)), edited=[21])
    assert found(simulated) == [("warning", 21, 21)]
    assert judged(simulated).verdict == "affected"
    assert BY not in message(simulated)


def test_what_comes_back_every_so_often_is_weighed_step_by_step():
    each = expectation(every=10, offset=10)
    assert found(train(launched(each), edited=[10, 20, 30, 50])) == [("info", 10, 50)]
    assert found(train(launched(each), edited=[10, 20, 33, 50])) == [("warning", 33, 33), ("info", 10, 50)]
    assert found(train(launched(each), edited=[5, 10])) == [("warning", 5, 5), ("info", 10, 10)]


def test_a_part_that_is_not_expected_stays_and_each_part_says_which_it_is():
    simulated = train(launched(expectation(steps=((20, 24),))), edited=range(22, 27))
    assert found(simulated) == [("warning", 25, 26), ("info", 22, 24)]


def weighed(check, simulated, each):
    def weigh(found):
        return msgspec.structs.replace(found, severity="info", message=BY) if covers(each, found) else found

    judging = Judging([check], weigh=weigh)
    for item in simulated.items():
        judging.take(item)
    return [(found.code, found.severity, found.first_step, found.last_step) for found in judging.findings(ended=True)]


def test_updates_and_gradients_are_weighed_step_by_step_too():
    code, every = "optimizer.update_differs", {"every": 2, "offset": 2}
    samples = [shadow.sample(step) if step in (0, 1, 3) else shadow.sample(step, change=_more) for step in range(6)]
    assert weighed(SHADOW_UPDATES, shadow.run_of(*samples), expectation(code=code, **every)) == [
        (code, "warning", 5, 5), (code, "info", 2, 4),
    ]  # fmt: skip
    code = "gradient.changed_after_backward"
    reads = [*gradients.USUAL, gradients.TURNED, gradients.TURNED, gradients.TURNED]
    assert weighed(GRADIENTS, gradients.run_of(*reads), expectation(code=code, **every)) == [
        (code, "warning", 9, 9), (code, "info", 8, 10),
    ]  # fmt: skip


def _more(_, value):
    return value + 0.1


def test_several_expectations_each_cover_their_own():
    pruned = expectation(steps=((21, 21),))
    decayed = expectation(code=DECAY, subject="weight_decay of *", steps=((30, 30),), why="It is switched off.")
    simulated = train(launched(decayed, pruned), edited=[21], decay=lambda step: 0.1 if step < 30 else 0.0)
    assert found(simulated) == [("info", 21, 21)]
    assert found(simulated, DECAY) == [("info", 30, 30)]
    assert message(simulated, code=DECAY).endswith(f"{BY}It is switched off.")


def test_a_hyper_parameter_that_becomes_another_a_second_time_is_found():
    decay = {0: 0.1, 1: 0.0, 2: 0.3}
    each = expectation(code=DECAY, steps=((20, 20),))
    simulated = train(launched(each), decay=lambda step: decay[step // 20])
    assert found(simulated, DECAY) == [("warning", 40, 40), ("info", 20, 20)]


def test_without_an_approval_it_is_told_and_changes_nothing():
    each = expectation(steps=((21, 21),))
    for simulated, keys in (
        (launched(each, signers=(CREATOR,)), BY_MARIA),
        (launched(each), NOBODY),
        (launched(each, file=False), BY_MARIA),
    ):
        train(simulated, edited=[21])
        assert found(simulated, keys=keys) == [("warning", 21, 21)]
        assert message(simulated, keys).endswith(f"{NOT_BY}It is pruned by hand.")
        assert judged(simulated, keys).verdict == "affected"


def test_the_file_has_the_say_and_not_the_projects_file_at_launch():
    simulated = SealedRun(expect=(expectation(),))
    approve(simulated)
    train(simulated, edited=[21])
    assert found(simulated) == [("warning", 21, 21)]
    assert "is pruned" not in message(simulated)
    (differs,) = [each for each in judged(simulated).items if each.subject == "expect"]
    assert (differs.code, differs.severity) == ("seal.differs", "warning")
    assert f"only after {PRUNED} (It is pruned by hand.)" in differs.message


def test_a_second_seal_file_does_not_take_the_place_of_the_first():
    simulated = launched(expectation(steps=((3, 3),)))
    approve(simulated, expectation())
    assert found(train(simulated, edited=[21])) == [("warning", 21, 21)]


def test_an_expectation_that_nothing_meets_is_told_nowhere():
    simulated = train(launched(expectation(steps=((21, 21),))))
    assert [each.code for each in judged(simulated).items if "pruned" in each.message] == []


def test_what_the_program_does_at_every_step_stays_a_habit_where_it_is_not_expected():
    simulated = train(launched(expectation(steps=((0, 29),))), edited=range(1, 60))
    assert found(simulated) == [("info", 1, 29), ("info", 30, 59)]


def test_an_approval_of_one_attempt_is_none_of_another():
    simulated = train(launched(expectation()), edited=[21])
    simulated.resume()
    train(simulated, edited=[33])
    assert found(simulated) == [("warning", 33, 33), ("info", 21, 21)]

    simulated = train(launched(expectation()), edited=[21])
    simulated.resume()
    approve(simulated, expectation(why="Again."))
    train(simulated, edited=[33])
    assert found(simulated) == [("info", 21, 21), ("info", 33, 33)]


def test_a_rank_is_told_apart_from_the_others():
    simulated = launched(expectation(rank=0))
    for rank in (0, 1):
        train(simulated, edited=[21], rank=rank, world_size=2, ended=False)
    simulated.exit()
    ranks = [(each.severity, each.ranks) for each in judged(simulated).items if each.code == PRUNED]
    assert ranks == [("warning", (1,)), ("info", (0,))]


def recorded(simulated, **changed):
    """What the agent, which knows of no approver, wrote down of the edit at step 21."""
    fields = {
        "code": PRUNED, "severity": "warning", "first_step": 21, "last_step": 21, "ranks": (0,),
        "subject": "parameters of optimizer 0", "check": "continuity", "message": "It changed.",
        "evidence": (),
    }  # fmt: skip
    simulated.add(FindingRecord(**simulated.stamp(), finding=Finding(**fields | changed)))


def test_what_the_agent_wrote_down_is_weighed_too():
    simulated = train(launched(expectation(steps=((21, 21),))), edited=[21], ended=False)
    recorded(simulated)
    simulated.exit()
    assert found(simulated) == [("info", 21, 21)]
    assert found(simulated, keys=NOBODY) == [("warning", 21, 21)]


def test_what_the_agent_wrote_down_of_another_step_stands_also_if_nothing_else_tells_of_it():
    simulated = train(launched(expectation(steps=((21, 21),))), edited=[21], ended=False)
    recorded(simulated, first_step=5, last_step=5)
    simulated.exit()
    assert sorted(found(simulated)) == [("info", 21, 21), ("warning", 5, 5)]


def test_the_agent_tells_as_ever_and_the_reader_who_knows_the_approver_weighs():
    simulated = train(launched(expectation()), edited=[21])
    judging = Judging(ALL)
    news = [each for item in simulated.items() for each in judging.take(item) if each.code == PRUNED]
    assert [(each.severity, BY in each.message) for each in news] == [("warning", False)]
    assert found(simulated) == [("info", 21, 21)]


def test_what_is_never_expected_is_not_expected_by_a_file_that_says_so():
    code = "witness.frame_refused"
    expected = Expected(frozenset({0}))
    for item in launched(expectation(code=code)).items():
        expected.take(item)
    said = Finding(
        code=code, severity="critical", first_step=None, last_step=None, ranks=(), subject="x", check="witness",
        message="It was refused.", evidence=(0,),
    )  # fmt: skip
    assert expected.judge(said) is said


def weighing(*expected, attempts=2):
    """Of attempts of which the first alone is approved, and expects this."""
    simulated = train(launched(*expected), steps=1)
    for _ in range(attempts - 1):
        simulated.resume()
        train(simulated, steps=1)
    weighing = Expected(frozenset({0}))
    for item in simulated.items():
        weighing.take(item)
    return weighing, len(simulated.entries)


def test_a_finding_is_expected_only_if_it_is_in_every_attempt_that_it_is_about():
    expected, entries = weighing(expectation())
    said = Finding(
        code=PRUNED, severity="warning", first_step=1, last_step=1, ranks=(0,), subject="x", check="continuity",
        message="It changed.", evidence=(2,),
    )  # fmt: skip
    assert expected.weigh(said).severity == "info"
    for evidence in ((2, entries - 1), (entries - 1,), (), (2,) * MAX_EVIDENCE):
        assert expected.weigh(msgspec.structs.replace(said, evidence=evidence)).severity == "warning"


@given(declared, st.data())
def test_weighing_never_drops_a_finding_never_makes_one_graver_and_is_done_once(expected, data):
    weighing_, _ = weighing(*expected)
    each = data.draw(st.sampled_from(expected))
    first = data.draw(st.none() | st.integers(0, 300))
    said = Finding(
        code=data.draw(st.sampled_from([each.code, PRUNED, "live.code_replaced"])),
        severity=data.draw(st.sampled_from(["info", "warning", "critical"])),
        first_step=first,
        last_step=None if first is None else first + data.draw(st.integers(0, 5)),
        ranks=(each.rank or 0,), subject=each.subject or "x", check="a", message="It is so.", evidence=(2,),
    )  # fmt: skip
    weighed = weighing_.judge(said)
    covered = any(covers(one, said) for one in expected)
    assert weighed.severity == ("info" if covered else said.severity)
    assert weighed.message.startswith(said.message)
    assert (weighed is said) == (not covered)
    same = ("code", "subject", "check", "first_step", "last_step", "ranks", "evidence")
    assert all(getattr(weighed, name) == getattr(said, name) for name in same)
    assert weighing_.judge(weighed) is weighed
