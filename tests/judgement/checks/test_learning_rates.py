"""Curves of learning rates, without any plan."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saksi.judgement.checks import ALL
from saksi.judgement.checks.judging import Judging
from saksi.judgement.checks.learning_rates import LEARNING_RATES
from saksi.judgement.plan.curve import Curve
from saksi.judgement.verdict import judge
from simulated_run import SimulatedRun

STEPS = 600


def cosine(step, length=STEPS, least=0.0):
    return least + (0.1 - least) * (1 + math.cos(math.pi * step / length)) / 2


def recursive(factor):
    """As torch works them out: each rate from the one before it."""
    rate, rates = 0.1, []
    for step in range(STEPS):
        rates.append(rate)
        rate *= factor(step)
    return rates


HONEST = {
    "constant": [0.1] * STEPS,
    "from nothing, then constant": [0.1 * min(1, step / 50) for step in range(STEPS)],
    "down in a straight line": [0.1 * (1 - step / STEPS) for step in range(STEPS)],
    "cosine": [cosine(step) for step in range(STEPS)],
    "warm-up and cosine": [0.1 * step / 40 if step < 40 else cosine(step - 40, STEPS - 40) for step in range(STEPS)],
    "warm restarts": [cosine(step % 100, 100, 1e-3) for step in range(STEPS)],
    "warm restarts from near the peak": [cosine(step % 100, 100, 0.09) for step in range(STEPS)],
    "short warm restarts": [cosine(step % 10, 10, 1e-3) for step in range(STEPS)],
    "one cycle": [
        0.004 + 0.096 * (1 - math.cos(math.pi * step / 180)) / 2 if step < 180 else cosine(step - 180, STEPS - 180)
        for step in range(STEPS)
    ],
    "triangles": [0.01 + 0.09 * (1 - abs((step / 30) % 2 - 1)) for step in range(STEPS)],
    "steps": recursive(lambda step: 0.1 if step in {199, 399} else 1),
    "steps by a little": recursive(lambda step: 0.97 if step % 100 == 99 else 1),
    "by epoch": recursive(lambda step: 0.95 if step % 60 == 59 else 1),
    "cosine by epoch": [cosine(step - step % 60) for step in range(STEPS)],
    "exponential": recursive(lambda step: 0.999),
    "inverse square root": [min((step + 1) ** -0.5, (step + 1) * 100**-1.5) for step in range(STEPS)],
    "finder, then constant": [1e-6 * 1.08**step if step < 150 else 0.01 for step in range(STEPS)],
    "finder, then exponential": [1e-6 * 1.08**step if step < 150 else 0.01 * 0.998**step for step in range(STEPS)],
    "stable, then decay": [0.1 * min(1, (STEPS - step) / 200) for step in range(STEPS)],
    "on a plateau": recursive(lambda step: 0.5 if step in {151, 340, 412} else 1),
    "nothing": [0.0] * STEPS,
}


def run_of(rates, groups=1):
    simulated = SimulatedRun()
    connection = simulated.attach()
    for step, rate in enumerate(rates):
        connection.update(groups=[{"lr": rate / (1 + number)} for number in range(groups)])
        if step % 50 == 49:
            connection.flush()
    connection.goodbye()
    simulated.exit()
    return simulated


def judged(simulated):
    judging, news = Judging([LEARNING_RATES]), []
    for item in simulated.items():
        news += judging.take(item)
    return list(judging.findings(ended=True)), news


@pytest.mark.parametrize("name", HONEST)
def test_a_schedule_is_nothing_to_speak_of(name):
    assert judged(run_of(HONEST[name])) == ([], [])


MOVING = ["cosine", "warm-up and cosine", "exponential", "down in a straight line", "one cycle"]


@pytest.mark.parametrize("name", MOVING)
@pytest.mark.parametrize("factor", [0.97, 2.0])
def test_a_factor_from_some_update_on_is_told_with_both_values_and_alleges_nothing(name, factor):
    rates = [rate * (factor if step >= 300 else 1) for step, rate in enumerate(HONEST[name])]
    (found,), news = judged(run_of(rates, groups=2))
    assert (found.code, found.severity, found.alleges) == ("plan.learning_rate_scaled", "info", "unknown")
    assert (found.subject, found.first_step) == ("lr of optimizer 0", 300)
    assert f"multiplied by {factor:.4g} at update 300, and its curve went on" in found.message
    assert f"been {rates[299]!r} and became {rates[300]!r}" in found.message
    assert len(news) == 1


def test_a_rate_that_stood_still_and_changed_once_is_told_at_the_end():
    simulated = run_of([0.1] * 300 + [0.097] * 300)
    (found,), _ = judged(simulated)
    assert (found.severity, found.first_step) == ("info", 300)
    assert "multiplied by 0.97 at update 300, and stood still before and after" in found.message
    assert judge(simulated.items(), run=simulated.run, checks=ALL).report.verdict == "unknown"


def test_a_process_that_is_still_there_is_not_told_of_before_the_end():
    simulated = SimulatedRun()
    connection = simulated.attach()
    for rate in [0.1] * 50 + [0.05] * 50:
        connection.update(groups=[{"lr": rate}])
    connection.flush()
    judging = Judging([LEARNING_RATES])
    for item in simulated.items():
        judging.take(item)
    assert judging.findings(ended=False) == ()
    assert len(judging.findings(ended=True)) == 1


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=100))
def test_any_rates_are_taken(rates):
    curve = Curve()
    for update, rate in enumerate(rates):
        curve.take(update, rate)
    assert curve.only_change is None or len(set(rates)) > 1


def test_a_rate_that_falls_by_more_than_a_float_can_say_is_taken():
    curve = Curve()
    for update, rate in enumerate([*(1e308 * 0.19**power for power in range(40)), 5e-324, 1.0, 1.0]):
        assert curve.take(update, rate) is None


def test_rates_that_are_no_numbers_are_passed_over():
    simulated = SimulatedRun()
    connection = simulated.attach()
    for lr in ["NaN", None, [1], 10**400, True, 0.1, 5e-324, 1e308] * 5:
        connection.update(groups=[{"lr": lr}])
    connection.goodbye()
    simulated.exit()
    assert judged(simulated) == ([], [])
