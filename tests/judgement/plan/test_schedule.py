"""The planned learning rate and its inverse."""

from __future__ import annotations

import math
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from judgement.seals import plans
from saksi.judgement.plan.course import MAX_MOVES, Course
from saksi.judgement.plan.schedule import Schedule, Stretch, overlap
from saksi.judgement.plan.values import Plan

PEAK = 2e-3


def plan(**changes):
    fields = {
        "optimizer": None, "steps": None, "lr": (), "between": "linear", "warm_up": 0, "warm_up_from": 0.0,
        "max_norm": None, "hyper_parameters": {}, "groups": (),
    }  # fmt: skip
    return Plan(**fields | changes)


WARMED = Schedule(plan(lr=((10, PEAK), (60, PEAK / 10)), between="cosine", warm_up=10))


def warmed(step):
    """What a training script computes."""
    if step < 10:
        return PEAK * step / 10
    return PEAK * (0.1 + 0.45 * (1 + math.cos(math.pi * min(1, (step - 10) / 50))))


def test_a_warm_up_and_a_cosine_are_what_a_script_computes():
    assert all(WARMED.is_at(step, warmed(step)) for step in range(100))
    assert not any(WARMED.is_at(step, warmed(step) * 0.999) for step in range(1, 100))


@pytest.mark.parametrize("between", ["linear", "cosine", "hold"])
def test_a_float32_is_near_enough_and_a_thousandth_is_not(between):

    schedule = Schedule(plan(lr=((0, 1e-3), (50, 3e-4), (90, 0.0)), between=between))
    for step in range(90):
        value = schedule.at(step)
        assert schedule.is_at(step, struct.unpack("f", struct.pack("f", value))[0])
        assert not schedule.is_at(step, value * 1.001)


def test_points_with_nothing_between_them_are_steps():
    steps = Schedule(plan(lr=((0, 0.1), (30, 0.01)), between="hold"))
    assert [steps.at(step) for step in (0, 29, 30, 99)] == [0.1, 0.1, 0.01, 0.01]
    assert list(steps.steps_with(0.1)) == [(0, 29)]


@given(plans.filter(lambda each: each.lr), st.integers(0, 2**40))
def test_every_step_is_among_those_that_have_its_rate(planned, step):
    schedule = Schedule(planned)
    rate = schedule.at(step)
    assert schedule.is_at(step, rate)
    assert any(first <= step <= last for first, last in schedule.steps_with(rate))


@given(st.data())
def test_what_two_lists_have_in_common_is_what_each_number_says(data):
    numbers = st.sets(st.integers(0, 30))
    a, b = data.draw(numbers), data.draw(numbers)
    common = overlap([Stretch(each, each) for each in sorted(a)], [Stretch(each, each) for each in sorted(b)])
    assert {each.first for each in common} == a & b


def test_an_ordinary_start_stands_at_the_first_step_and_nowhere_else():
    course = Course(WARMED, anywhere=False)
    assert all(course.fits(step, warmed(step)) for step in range(80))
    assert course.moved_by() == 0
    assert not Course(WARMED, anywhere=False).fits(0, warmed(20))


def test_who_continues_from_a_ckpt_stands_where_its_rates_say():
    course = Course(WARMED, anywhere=True)
    assert course.is_anywhere
    assert all(course.fits(step, warmed(step + 25)) for step in range(60))
    assert course.moved_by() == 25
    assert not course.fits(10, warmed(10 + 26))


def test_a_rate_that_may_be_of_several_steps_leaves_them_open():
    steps = Schedule(plan(lr=((0, 0.1), (30, 0.01)), between="hold"))
    course = Course(steps, anywhere=True)
    assert course.fits(0, 0.1)
    assert course.moved_by() == 0  # it may have begun anew
    assert course.fits(9, 0.01)
    assert course.moved_by() == 21  # at least


def test_the_rate_that_is_named_is_the_one_without_any_move_where_that_is_left():
    steps = Schedule(plan(lr=((0, 0.1), (30, 0.01)), between="hold"))
    course = Course(steps, anywhere=False)
    course.may_stand_still()
    assert course.planned(30) == (30, 0.01)
    course = Course(steps, anywhere=True)
    assert course.fits(0, 0.01)
    assert course.planned(5) == (35, 0.01)


@pytest.mark.parametrize("moves", [True, False])
def test_an_update_that_was_left_out_may_have_moved_the_schedule_or_not(moves):
    course, at = Course(WARMED, anywhere=False), 0
    for update in range(40):
        left_out = update in {3, 4, 20}
        assert course.fits(update, warmed(at))
        if left_out:
            course.may_stand_still()
        at += moves or not left_out
    assert course.moved_by() == 0
    assert not course.fits(40, warmed(at + 5))


def test_who_loads_data_at_each_update_and_moves_along_the_curve_comes_to_stand_still():
    flat = Schedule(plan(lr=((0, 1.0), (10_000, 0.0)), between="linear"))
    course, fits = Course(flat, anywhere=False), []
    for update in range(100):
        course.leave()
        fits.append(course.fits(update, flat.at(2 * update)))
    assert all(fits[: MAX_MOVES + 1])
    assert not any(fits[MAX_MOVES + 2 :])
    course = Course(flat, anywhere=False)
    for update in range(100):  # and whoever only loads data is where it was
        course.leave()
        assert course.fits(update, flat.at(update))
    assert course.moved_by() == 0


@pytest.mark.parametrize("rate", [math.inf, -math.inf, math.nan])
def test_what_is_no_number_is_at_no_step(rate):
    assert not Course(WARMED, anywhere=True).fits(0, rate)
    assert not Course(WARMED, anywhere=False).fits(0, rate)
