"""What ran against what was planned, judged from records alone."""

from __future__ import annotations

import math

import pytest

from doors.cli.cli_home import SealedRun
from judgement.plan.test_schedule import plan
from judgement.seals import CREATOR, MARIA, plain_seal_file, signed_file
from saksi.judgement.approvals import Approvers, assurance_of
from saksi.judgement.checks import ALL
from saksi.judgement.checks.judging import Judging
from saksi.judgement.verdict import judge
from simulated_run import hex64

ADAMW = "torch.optim.adamw.AdamW"
LOADED = dict.fromkeys(("path", "digest", "size", "device", "inode", "mtime_ns"))
PLAN = plan(
    optimizer="AdamW", steps=40, lr=((10, 0.1), (40, 0.01)), between="cosine", warm_up=10, max_norm=1.0,
    hyper_parameters={"betas": (0.9, 0.95)}, groups=({"weight_decay": 0.1}, {"lr_scale": 0.5, "weight_decay": 0}),
)  # fmt: skip
BY_MARIA = Approvers(approvers=(MARIA.key,), known=(CREATOR.key,))


def rate(step):
    if step < 10:
        return 0.1 * step / 10
    return 0.01 + 0.09 * (1 + math.cos(math.pi * min(1, (step - 10) / 30))) / 2


def groups(lr, **changes):
    first = {"lr": lr, "betas": [0.9, 0.95], "weight_decay": 0.1} | changes
    return [first, {"lr": lr / 2, "betas": [0.9, 0.95], "weight_decay": 0.0}]


def launched(planned=PLAN, *, signers=(CREATOR, MARIA), file=True):
    """An attempt under a seal file with this plan; or, without a file, under a seal alone."""
    simulated = SealedRun(plan=planned)
    if file:
        simulated.approve(signed_file(plain_seal_file(plan=planned), *signers).content)
    return simulated


def train(simulated, rates, *, changes=None, name=ADAMW, before=lambda _: None, at=None, **hello):
    """Updates with these rates; `changes` by step; `at` is called with the connection before each."""
    connection = simulated.attach(**hello)
    connection.send("optimizer", ordinal=0, class_name=name, file="a.py", groups=2, tensors=4, defaults={})
    before(connection)
    for step, lr in enumerate(rates):
        if at is not None:
            at(connection, step)
        connection.update(**{"groups": groups(lr)} | (changes or {}).get(step, {}))
        connection.flush()
    connection.goodbye()
    simulated.exit()
    return simulated


def found(simulated, keys=BY_MARIA):
    assurance = assurance_of(simulated.entries, simulated.blob, keys)
    report = judge(simulated.items(), run=simulated.run, assurance=assurance).report
    return [each for each in report.items if each.check == "plan"]


def load(connection):
    connection.send("ckpt", action="loaded", step=-1, **LOADED)


def test_a_run_as_planned_alleges_nothing():
    assert found(train(launched(), map(rate, range(40)))) == []


@pytest.mark.parametrize("value", ["np.float32(7.0)", None, "tensor of torch.float32 on cuda:0"])
def test_a_rate_that_is_no_number_for_some_updates_is_said_to_be_held_to_nothing(value):
    """A number of another library's is as good as one for an optimizer, and none in the record."""
    changes = {
        step: {"groups": [groups(rate(step))[0], groups(rate(step))[1] | {"lr": value}]} for step in range(20, 40)
    }
    (each,) = found(train(launched(), map(rate, range(40)), changes=changes))
    assert (each.code, each.severity, each.subject) == (
        "plan.not_checkable", "info", "the learning rate of optimizer 0",
    )  # fmt: skip
    assert "Of some updates" in each.message


def test_without_a_plan_nothing_is_said():
    assert found(train(launched(None), [1.0, 7.0, 0.0])) == []


def test_a_rate_that_is_scaled_from_some_step_on_is_named_with_both_values():
    rates = [rate(step) * (0.97 if step >= 20 else 1) for step in range(40)]
    (first, second) = found(train(launched(), rates))
    assert (first.code, first.severity, first.alleges) == ("plan.learning_rate_differs", "warning", "unknown")
    assert (first.subject, first.first_step, first.last_step) == ("lr of group 0", 20, 39)
    assert f"It is {rates[20]!r} at step 20; planned there is {rate(20):.6g}, 0.97 times as much." in first.message
    assert second.subject == "lr of group 1"


def test_a_warm_up_that_is_left_out_is_named_at_the_first_step():
    first, _ = found(train(launched(), [rate(step + 10) for step in range(30)]))
    assert (first.severity, first.first_step) == ("warning", 0)


def test_what_nobody_approved_is_told_and_not_held_against_a_run():
    rates = [rate(step) * 0.5 for step in range(40)]
    for simulated, keys in (
        (launched(signers=(CREATOR,)), BY_MARIA),
        (launched(), Approvers(approvers=())),
        (launched(file=False), BY_MARIA),
    ):
        severities = {each.severity for each in found(train(simulated, rates), keys)}
        assert severities == {"info"}


def test_an_update_with_more_backwards_than_planned_is_named():
    simulated = launched(plan(accumulation=1))
    (only,) = found(train(simulated, [0.1] * 9, changes={4: {"losses": 3}, 6: {"losses": 2}}))
    assert (only.code, only.severity, only.first_step, only.last_step) == (
        "plan.accumulation_differs", "warning", 4, 6,
    )  # fmt: skip
    assert "Update 4 has 3, and 1 are planned for each." in only.message


def test_with_further_optimizers_nobody_knows_whose_backward_it_was():
    simulated = launched(plan(accumulation=1))
    connection = simulated.attach()
    for step in range(6):
        connection.update(optimizer=step % 2, losses=1 + step % 3)
    connection.goodbye()
    simulated.exit()
    assert [each.subject for each in found(simulated)] == ["further optimizers"]


def took(seconds, phase="compute"):
    return {"phase_ns": {"data": 1000, "compute": 9000, "optimizer": 500} | {phase: int(seconds * 1e9)}}


def test_an_update_that_takes_longer_than_planned_is_named_with_the_phase():
    simulated = launched(plan(longest_update=1.5))
    changes = {0: took(90), 4: took(1.4), 5: took(2.0), 7: took(3, "data")}
    (only,) = found(train(simulated, [0.1] * 9, changes=changes))
    assert (only.code, only.severity, only.subject) == ("availability.update_overran", "warning", "duration")
    assert (only.first_step, only.last_step) == (5, 7)
    assert "Update 5 took 2 s, most of it in what lies between data and optimizer; 1.5 s are planned" in only.message


def report(connection, step, value, name="train/loss"):
    connection.send("metric", tracker="wandb", at=None, step=step, values=[[name, value]], omitted=0)


def test_a_report_that_is_not_the_loss_it_is_planned_to_be_is_named_at_its_step():
    def at(connection, step):  # called before each update
        if step:
            report(connection, step - 1, 4.0 / step * (0.9 if step > 5 else 1.0004))
            report(connection, step - 1, 0.0, name="val/loss")

    (only,) = found(train(launched(plan(reported=("train/loss",))), [0.1] * 9, at=at))
    assert (only.code, only.severity, only.subject) == ("plan.report_differs", "warning", "metric train/loss")
    assert (only.first_step, only.last_step) == (5, 7)
    assert "0.6 was reported for update 5, 0.9 times as much; the loss that was witnessed is 0.666667" in only.message


def test_a_metric_that_is_planned_and_never_reported_is_said():
    (only,) = found(train(launched(plan(reported=("train/loss",))), [0.1] * 9))
    assert (only.code, only.severity, only.subject) == ("plan.not_checkable", "info", "metric train/loss")


def sampled(connection, step, *, of):
    """The samples of an update, of as many of four tensors."""
    if step in {0, 5}:
        connection.send(
            "sampled", layout=f"{of:x}" * 32, optimizer=0, rule="torch.optim.sgd.SGD", dtype="torch.float32", part=0,
            parts=1, tensors=[[0, at, f"{at + 4 - of}.weight", 9, 4] for at in range(of)], left_out={},
        )  # fmt: skip
    connection.send("sample", layout=f"{of:x}" * 32, optimizer=0, update=step, idle=[], before={}, after={})


@pytest.mark.parametrize(
    ("held", "said"), [(4, "At update 5 0.weight has no gradient"), (3, "Since update 5 0.weight is in no group of")]
)
def test_a_tensor_that_is_trained_no_longer_is_named_and_one_that_left_its_group_is_said_to(held, said):
    simulated = train(
        launched(plan(trained=("*",))), [0.1] * 9,
        changes={step: {"tensors": [4 if step < 5 else held]} for step in range(9)},
        at=lambda connection, step: sampled(connection, step, of=4 if step < 5 else 3),
    )  # fmt: skip
    (only,) = found(simulated)
    assert (only.code, only.severity, only.first_step, only.last_step) == (
        "plan.parameter_not_trained", "warning", 5, 8,
    )  # fmt: skip
    assert (only.subject, said in only.message) == ("0.weight", True)


def test_the_agent_tells_at_once_and_the_reader_who_knows_the_approver_weighs():
    simulated = train(launched(), [rate(step) * 0.5 for step in range(4)])
    judging = Judging(ALL)
    news = [each for item in simulated.items() for each in judging.take(item) if each.check == "plan"]
    assert {each.severity for each in news} == {"info"}
    assert {each.severity for each in found(simulated)} == {"warning"}


def test_the_file_has_the_say_and_not_the_projects_file_at_launch():
    simulated = SealedRun(plan=plan(lr=((0, 7.0),)))
    simulated.approve(signed_file(plain_seal_file(plan=PLAN), CREATOR, MARIA).content)
    assert found(train(simulated, map(rate, range(40)))) == []
    report = judge(simulated.items(), run=simulated.run).report
    (differs,) = [each for each in report.items if each.subject == "plan"]
    assert (differs.code, differs.severity) == ("seal.differs", "warning")


def test_a_second_seal_file_does_not_take_the_place_of_the_first():
    simulated = launched()
    simulated.approve(signed_file(plain_seal_file(plan=None), CREATOR, MARIA).content)
    assert {each.code for each in found(train(simulated, [7.0]))} == {"plan.learning_rate_differs"}


def test_who_continues_from_a_ckpt_stands_further_on_and_that_is_told():
    (only,) = found(train(launched(), [rate(step + 25) for step in range(15)], before=load))
    assert (only.severity, only.subject, only.first_step) == ("info", "place in the schedule", 0)
    assert "at least 25 steps further on" in only.message


def test_a_further_attempt_may_stand_anywhere_in_the_schedule_and_not_beside_it():
    simulated = train(launched(), map(rate, range(12)))
    simulated.resume()
    simulated.approve(signed_file(plain_seal_file(plan=PLAN), CREATOR, MARIA).content)
    train(simulated, [rate(step + 12) for step in range(28)])
    assert [(each.severity, each.subject) for each in found(simulated)] == [("info", "place in the schedule")]

    simulated = train(launched(), map(rate, range(12)))
    simulated.resume()
    simulated.approve(signed_file(plain_seal_file(plan=PLAN), CREATOR, MARIA).content)
    train(simulated, [rate(step + 12) * 0.9 for step in range(28)])
    assert "warning" in {each.severity for each in found(simulated)}


def test_a_run_that_goes_back_to_a_ckpt_goes_back_in_the_schedule():
    def back(connection, step):
        if step == 20:
            load(connection)

    rates = [rate(step if step < 20 else step - 10) for step in range(40)]
    assert {each.severity for each in found(train(launched(), rates, at=back))} == {"info"}
    assert "warning" in {each.severity for each in found(train(launched(), rates))}


@pytest.mark.parametrize("moves", [True, False])
def test_updates_that_a_scaler_left_out_move_the_schedule_or_do_not(moves):
    skips, at, rates = {2, 3, 15}, 0, []
    for update in range(30):
        rates.append(rate(at))
        at += moves or update not in skips
    assert found(train(launched(), rates, changes={each: {"skipped": True} for each in skips})) == []


def test_another_hyper_parameter_or_another_optimizer_is_named():
    changes = {step: {"groups": groups(rate(step), betas=[0.9, 0.99])} for step in (5, 6)}
    (only,) = found(train(launched(), map(rate, range(40)), changes=changes))
    assert (only.code, only.subject) == ("plan.hyper_parameter_differs", "betas of group 0")
    assert (only.first_step, only.last_step) == (5, 6)
    assert "It is [0.9,0.99] at step 5, and [0.9,0.95] is planned." in only.message
    (only,) = found(train(launched(), map(rate, range(40)), name="torch.optim.adam.Adam"))
    assert (only.code, only.message[:40]) == ("plan.optimizer_differs", "It is torch.optim.adam.Adam, and AdamW i")


def test_a_group_more_and_a_parameter_that_is_not_there_are_named():
    more = {7: {"groups": [*groups(rate(7)), {"lr": rate(7), "betas": [0.9, 0.95]}]}}
    (only,) = found(train(launched(), map(rate, range(40)), changes=more))
    assert (only.subject, only.first_step) == ("groups of optimizer 0", 7)
    lacking = [{"lr": rate(0)}, groups(rate(0))[1]]
    subjects = {
        each.subject for each in found(train(launched(), map(rate, range(40)), changes={0: {"groups": lacking}}))
    }
    assert subjects == {"betas of group 0", "weight_decay of group 0"}


def test_a_value_in_float32_is_the_planned_one():
    near = {3: {"groups": groups(rate(3) * (1 + 1e-7), betas=[0.8999999762, 0.9499999881])}}
    assert found(train(launched(), map(rate, range(40)), changes=near)) == []


def test_another_threshold_of_clipping_is_named_and_so_is_one_that_is_left_out():
    norm = {"value": 1.5, "max_norm": 100.0, "coefficient": 1.0}
    (only,) = found(train(launched(), map(rate, range(40)), changes={9: {"gradient_norm": norm}}))
    assert (only.code, only.subject, only.first_step) == ("plan.clipping_differs", "max_norm", 9)
    (only,) = found(train(launched(), map(rate, range(40)), changes={9: {"gradient_norm": None}}))
    assert (only.code, only.subject, only.first_step) == ("plan.clipping_differs", "clipping", 9)


@pytest.mark.parametrize("unseen", [{"losses": 0}, {"skipped": True}])
def test_a_clipping_that_may_have_been_out_of_sight_is_not_missed(unseen):
    changes = {9: {"gradient_norm": None, "loss": None} | unseen}
    assert found(train(launched(), map(rate, range(40)), changes=changes)) == []


def test_a_norm_that_the_recorder_could_not_read_is_not_missed():
    def unread(connection, step):
        if step == 9:
            connection.send("uncovered", what="gradient norm", reason="it lies on a device", step=8)

    changes = {step: {"gradient_norm": None} for step in range(9, 20)}
    assert found(train(launched(), map(rate, range(40)), changes=changes, at=unread)) == []


def test_what_was_never_seen_is_said_and_leaves_the_verdict_open():
    changes = {step: {"gradient_norm": None} for step in range(40)}
    simulated = train(launched(), map(rate, range(40)), changes=changes)
    (only,) = found(simulated)
    assert (only.code, only.severity, only.subject) == ("plan.not_checkable", "info", "the clipping of optimizer 0")
    assert not judge(simulated.items(), run=simulated.run).report.coverage.complete


def test_an_optimizer_that_the_plan_does_not_speak_of_is_said():
    def another(connection, step):
        connection.update(optimizer=1, rng={"torch": hex64(f"one {step}")})

    codes = [(each.code, each.subject) for each in found(train(launched(), map(rate, range(40)), at=another))]
    assert codes == [("plan.not_checkable", "further optimizers")]


def test_a_forked_process_is_held_to_nothing_and_that_is_said():
    (only,) = found(train(launched(), [7.0, 8.0], forked=True))
    assert (only.code, only.subject) == ("plan.not_checkable", "forked processes")


def test_more_updates_than_planned_are_told_and_fewer_are_not_covered():
    (only,) = found(train(launched(), map(rate, range(42))))
    assert (only.code, only.first_step, only.last_step) == ("plan.steps_exceeded", 40, 41)
    simulated = train(launched(), map(rate, range(30)))
    assert found(simulated) == []
    assurance = assurance_of(simulated.entries, simulated.blob, BY_MARIA)
    coverage = judge(simulated.items(), run=simulated.run, assurance=assurance).report.coverage
    assert (coverage.steps_expected, coverage.steps_witnessed, coverage.complete) == (40, 30, False)


def test_updates_that_are_made_again_or_were_left_out_are_not_too_many():
    def back(connection, step):
        if step == 30:
            load(connection)

    again = [rate(step if step < 30 else step - 10) for step in range(50)]
    assert {each.severity for each in found(train(launched(), again, at=back))} == {"info"}
    skips = {step: {"skipped": True} for step in (0, 1)}
    assert found(train(launched(), [rate(max(0, step - 2)) for step in range(42)], changes=skips)) == []


@pytest.mark.parametrize("odd", ["NaN", "Infinity", 10**400, 1e308])
def test_a_rate_that_is_no_rate_is_named_and_breaks_nothing(odd):
    changes = {4: {"groups": [{"lr": odd, "betas": [odd, 0.95], "weight_decay": 0.1}, groups(rate(4))[1]]}}
    subjects = {each.subject for each in found(train(launched(), map(rate, range(40)), changes=changes))}
    assert subjects == {"lr of group 0", "betas of group 0"}


def test_ranks_that_leave_the_plan_alike_are_one_finding():
    simulated = launched()
    for rank in (0, 1):
        connection = simulated.attach(rank, world_size=2)
        for step in range(6):
            connection.update(groups=groups(rate(step) * 2))
        connection.goodbye()
    simulated.exit()
    (only,) = [each for each in found(simulated) if each.subject == "lr of group 0"]
    assert only.ranks == (0, 1)
