"""A metric that is planned to be the loss, beside the losses: whichever comes first."""

from __future__ import annotations

import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from saksi.judgement.plan.reported import MAX_WAITING, Reported
from saksi.words.frames import MetricFrame, UpdateFrame
from simulated_run import update_fields

STAMP = {"seq": 0, "prev": "0" * 64, "wall_ns": 0, "mono_ns": 0, "lost": 0}
losses = st.floats(1e-2, 1e6) | st.sampled_from([math.inf, math.nan])


def update(step, loss, **changes):
    spelled = loss if math.isfinite(loss) else "NaN" if math.isnan(loss) else "Infinity"
    fields = STAMP | update_fields(step) | {"kind": "update", "loss": spelled} | changes
    return msgspec.convert(fields, UpdateFrame)


def report(step, value):
    spelled = value if math.isfinite(value) else "NaN" if math.isnan(value) else "Infinity"
    fields = {"kind": "metric", "tracker": "wandb", "at": None, "step": step, "values": [["loss", spelled]]}
    return msgspec.convert(STAMP | fields | {"omitted": 0}, MetricFrame)


def heard(reported, order):
    """What is found as losses (`True`) and reports come in this order, each kind in its own."""
    for is_update, step, value in order:
        yield from reported.take(update(step, value)) if is_update else reported.report(report(step, value))


@given(st.lists(losses, min_size=1, max_size=12), st.randoms(use_true_random=False), st.floats(0.997, 1.003))
def test_a_report_of_the_loss_is_never_another_whichever_of_the_two_comes_first(values, random, rounded):
    updates = [(True, step, value) for step, value in enumerate(values)]
    reports = [(False, step, value * rounded) for step, value in enumerate(values)]
    order = sorted([*updates, *reports], key=lambda each: (each[1], random.random()))
    reported = Reported(("loss",))
    assert list(heard(reported, order)) == []
    assert reported.unseen == ()


@given(st.lists(st.floats(1.0, 2.0), min_size=2, max_size=9), st.data(), st.sampled_from([0.5, 0.99, 1.01, 2.0]))
def test_another_number_is_named_at_its_step(values, data, factor):
    losses = [value * 9.0**at for at, value in enumerate(values)]  # none is near the one beside it
    other = data.draw(st.integers(0, len(values) - 2))
    order = []
    for step, loss in enumerate(losses):
        order += [(True, step, loss), (False, step, loss * (factor if step == other else 1))]
    (only,) = heard(Reported(("loss",)), order)
    assert (only.name, only.step, only.loss) == ("loss", other, losses[other])


def test_a_report_before_the_step_that_is_another_is_named_at_the_step_that_it_is_of():
    values = [4.0, 3.0, 2.0, 1.0]
    order = []
    for at, value in enumerate(values):
        order += [(False, at - 1, value * (0.9 if at == 2 else 1)), (True, at, value)]
    (only,) = heard(Reported(("loss",)), order)
    assert (only.step, only.loss) == (2, 2.0)


@given(st.floats(1e-4, 2.0))
def test_a_loss_that_is_reported_with_three_decimals_is_the_loss(loss):
    assert list(heard(Reported(("loss",)), [(True, 0, loss), (False, 0, round(loss, 3))])) == []


@pytest.mark.parametrize("loss", [0.0045, 0.0055, 0.0005, 0.0015])
def test_a_loss_just_between_two_decimals_is_the_loss(loss):
    for report in (math.floor(loss * 1000) / 1000, math.ceil(loss * 1000) / 1000):
        assert list(heard(Reported(("loss",)), [(True, 0, loss), (False, 0, report)])) == []


def test_a_number_in_place_of_a_loss_that_is_none_is_another():
    (only,) = heard(Reported(("loss",)), [(True, 3, math.nan), (False, 3, 0.5), (True, 4, math.nan)])
    assert only.step == 3


def test_a_report_behind_the_last_update_is_said_to_be_compared_with_nothing():
    reported = Reported(("loss",))
    assert list(heard(reported, [(True, 3, 1.0), (False, 3, 0.5)])) == []
    assert reported.alone == 1


def test_what_is_not_in_the_record_is_compared_with_nothing_and_said():
    reported = Reported(("loss", "other"))
    assert list(reported.take(update(0, 1.0, deferred=["loss"]))) == []
    assert list(reported.report(report(0, 7.0))) == []
    assert (reported.unseen, reported.alone) == (("loss", "other"), 1)


def test_what_waits_is_bounded():
    reported = Reported(("loss",))
    order = [(False, step, 7.0) for step in range(9 * MAX_WAITING)]
    order += [(True, step, 1.0) for step in range(9 * MAX_WAITING)]
    found = [each.step for each in heard(reported, order)]
    assert found == list(range(8 * MAX_WAITING, 9 * MAX_WAITING - 1))
    assert reported.alone == 8 * MAX_WAITING + 1
