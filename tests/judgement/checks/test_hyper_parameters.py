"""Hyper-parameters judged from records alone."""

from __future__ import annotations

import pytest

from saksi.judgement.checks.hyper_parameters import HYPER_PARAMETERS
from saksi.judgement.checks.judging import Judging
from saksi.judgement.items import item_of
from saksi.words.codec import decode_record
from simulated_run import SimulatedRun


def run_of(*groups, optimizer=0):
    """A run whose updates had these hyper-parameters."""
    simulated = SimulatedRun()
    connection = simulated.attach()
    for each in groups:
        connection.update(groups=[{"lr": 0.1} | each], optimizer=optimizer)
    connection.goodbye()
    simulated.exit()
    return simulated


def judged(simulated):
    judging, news = Judging([HYPER_PARAMETERS]), []
    for index, entry in enumerate(simulated.entries):
        news += judging.take(item_of(index, decode_record(entry), simulated.blob))
    return judging.findings(ended=True), news


@pytest.mark.parametrize(
    ("name", "before", "after"),
    [
        ("betas", [0.9, 0.95], [0.9, 0.998]),
        ("weight_decay", 0.1, 0.0),
        ("maximize", False, True),
        ("fused", None, True),
    ],
)
def test_one_that_stood_still_and_changed_is_told_with_both_values_as_it_does(name, before, after):
    (found,), news = judged(run_of(*[{name: before}] * 3, *[{name: after}] * 3))
    assert (found.code, found.severity, found.first_step, found.last_step) == (
        "plan.hyper_parameter_changed", "warning", 3, 3,
    )  # fmt: skip
    assert found.subject == f"{name} of optimizer 0, group 0"
    assert "after 3 updates" in found.message
    assert [each.code for each in news] == [found.code]


def test_one_that_changes_again_stretches_the_first_finding():
    values = [0.1] * 3 + [0.2] * 3 + [0.1] * 3
    (found,), _ = judged(run_of(*({"weight_decay": each} for each in values)))
    assert (found.first_step, found.last_step) == (3, 6)


def test_updates_that_a_scaler_left_out_are_none_for_a_schedule():
    simulated = SimulatedRun()
    connection = simulated.attach()
    for beta, skipped in ((0.85, True), (0.85, True), (0.85, True), (0.85, False), (0.86, False), (0.87, False)):
        connection.update(groups=[{"betas": [beta, 0.9]}], skipped=skipped)
    connection.goodbye()
    simulated.exit()
    assert judged(simulated) == ((), [])


def test_a_number_of_another_type_is_the_same_number_and_a_long_value_is_compared():
    assert judged(run_of(*[{"weight_decay": 0}] * 3, *[{"weight_decay": 0.0}] * 3)) == ((), [])
    long, other = list(range(60)), list(range(1, 61))
    (found,), _ = judged(run_of(*[{"extra": long}] * 3, *[{"extra": other}] * 3))
    assert found.first_step == 3


def test_a_schedule_that_moves_from_the_first_updates_on_is_nothing_to_speak_of():
    momentum = [0.85, 0.86, 0.87, 0.88, 0.88, 0.88, 0.87, 0.86]  # torch's OneCycleLR moves it, and stands at its turn
    assert judged(run_of(*({"momentum": each} for each in momentum))) == ((), [])


BOUNDS = {"base_momentum": 0.85, "max_momentum": 0.95}


@pytest.mark.parametrize(
    ("name", "before", "after", "severity"),
    [
        ("momentum", 0.95, 0.9, "info"),
        ("momentum", 0.9, 0.85, "info"),
        ("momentum", 0.95, 0.8, "warning"),
        ("momentum", 0.95, "NaN", "warning"),
        ("betas", [0.95, 0.99], [0.9, 0.99], "info"),
        ("betas", [0.95, 0.99], [0.9, 0.999], "warning"),
        ("betas", [0.95, 0.99], [], "warning"),
        ("weight_decay", 0.9, 0.95, "warning"),
    ],
)
def test_a_momentum_that_a_scheduler_of_torchs_cycles_once_an_epoch_is_told_and_no_more(name, before, after, severity):
    (found,), _ = judged(run_of(*[{name: before} | BOUNDS] * 10, *[{name: after} | BOUNDS] * 10))
    assert (found.severity, found.first_step) == (severity, 10)


def test_a_change_that_weighs_is_told_also_behind_one_that_does_not():
    momentum = [0.95] * 5 + [0.9] * 5 + [0.1] * 5
    found, _ = judged(run_of(*({"momentum": each} | BOUNDS for each in momentum)))
    assert [(each.severity, each.first_step, each.last_step) for each in found] == [("warning", 10, 10), ("info", 5, 5)]


def test_what_an_optimizer_works_out_for_itself_is_told_and_no_more():
    """Optimizers that learn their step size keep it in the group, where it stands still until they know enough."""
    (found,), _ = judged(run_of(*[{"d": 1e-6}] * 20, *({"d": 1e-6 * power} for power in range(2, 9))))
    assert (found.severity, found.alleges, found.first_step, found.last_step) == ("info", "unknown", 20, 20)


def test_groups_behind_one_that_was_taken_out_begin_anew():
    simulated = SimulatedRun()
    connection = simulated.attach()
    first, second = {"weight_decay": 0.1}, {"weight_decay": 0.0}
    for groups in [[first, second]] * 5 + [[second]] * 5 + [[first]] * 5:
        connection.update(groups=groups)
    connection.goodbye()
    simulated.exit()
    (found,), _ = judged(simulated)
    assert (found.subject, found.first_step) == ("weight_decay of optimizer 0, group 0", 10)


def test_a_learning_rate_is_not_judged_here():
    assert judged(run_of(*({"lr": each} for each in [0.1] * 5 + [0.01] * 5))) == ((), [])


def test_a_group_that_comes_later_begins_anew():
    simulated = SimulatedRun()
    connection = simulated.attach()
    for count in (1, 1, 1, 2, 2):
        connection.update(groups=[{"eps": 1e-8}] + [{"eps": 1e-6}] * (count - 1))
    connection.goodbye()
    simulated.exit()
    assert judged(simulated) == ((), [])


def test_another_optimizers_updates_have_no_step():
    (found,), _ = judged(run_of(*[{"eps": 1}] * 3, {"eps": 2}, optimizer=1))
    assert (found.subject, found.first_step) == ("eps of optimizer 1, group 0", None)
