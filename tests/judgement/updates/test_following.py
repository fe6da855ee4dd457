"""One pace for all elements: any honest average has one, by any kernel and in any format; an edited element has not."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from saksi.judgement.updates.following import ROUNDINGS, pace_of, unit_of

DTYPES = (torch.float32, torch.float64, torch.bfloat16, torch.float16)


def lerped(average, parameter, pace):
    average.lerp_(parameter, pace)


def added(average, parameter, pace):
    average.mul_(1 - pace).add_(parameter, alpha=pace)


def towards(average, parameter, pace):
    average.add_((parameter - average) * pace)


def anew(average, parameter, pace):
    average.copy_((1 - pace) * average + pace * parameter)


def swa(average, parameter, pace):
    states = torch.tensor(max(1, round(1 / max(pace, 1e-9))))
    average.copy_(average + (parameter - average) / states)


def of_many(average, parameter, pace):
    torch._foreach_lerp_([average], [parameter], pace)


def of_many_in_turn(average, parameter, pace):
    torch._foreach_mul_([average], 1 - pace)
    torch._foreach_add_([average], [parameter], alpha=pace)


def twice(average, parameter, pace):
    average.lerp_(parameter, pace)
    average.lerp_(parameter, pace)


def copied(average, parameter, _pace):
    average.copy_(parameter)


KERNELS = (lerped, added, towards, anew, swa, of_many, of_many_in_turn, twice, copied)


def numbers(tensor):
    return tuple(tensor.to(torch.float64).tolist())


def drawn(seed, count, dtype, size=1.0, apart=1.0):
    source = torch.Generator().manual_seed(seed)
    average = torch.randn(count, generator=source, dtype=torch.float64) * size
    parameter = average + torch.randn(count, generator=source, dtype=torch.float64) * size * apart
    return average.to(dtype), parameter.to(dtype)


VALUES = st.tuples(
    st.integers(0, 2**32),
    st.integers(1, 24),
    st.sampled_from(DTYPES),
    st.sampled_from((1e-6, 1e-3, 1.0, 1e3)),
    st.sampled_from((0.0, 1e-4, 0.1, 3.0)),
)
IN_FULL = st.tuples(st.integers(0, 2**32), st.integers(3, 24), st.sampled_from((torch.float32, torch.float64)))


@settings(deadline=None, max_examples=400)
@given(values=VALUES, kernel=st.sampled_from(KERNELS), pace=st.floats(0, 1))
def test_whatever_is_averaged_has_one_pace(values, kernel, pace):
    average, parameter = drawn(*values)
    before, dtype = numbers(average), str(average.dtype)
    kernel(average, parameter, pace)
    if not torch.isfinite(average).all():
        return
    step = pace_of(before, numbers(average), numbers(parameter), unit_of(dtype, dtype))
    assert step.pace is not None
    assert not step.partly


@settings(deadline=None, max_examples=100)
@given(seed=st.integers(0, 2**32), pace=st.floats(0.001, 1), half=st.sampled_from((torch.bfloat16, torch.float16)))
def test_an_average_in_full_of_weights_in_half_precision_has_one_pace(seed, pace, half):
    average, parameter = drawn(seed, 16, torch.float32, size=1.0, apart=0.1)
    parameter = parameter.to(half)
    before = numbers(average)
    average.mul_(1 - pace).add_(parameter, alpha=pace)
    unit = unit_of("torch.float32", str(half))
    assert pace_of(before, numbers(average), numbers(parameter), unit).pace is not None


@settings(deadline=None, max_examples=400)
@given(
    values=IN_FULL, kernel=st.sampled_from(KERNELS[:-1]), pace=st.floats(0.001, 1), place=st.integers(0, 23),
    times=st.tuples(st.floats(2.0, 1e6), st.sampled_from((-1, 1))),
)  # fmt: skip
def test_one_element_that_was_edited_beyond_rounding_leaves_none(values, kernel, pace, place, times):
    average, parameter = drawn(*values)
    before, dtype = numbers(average), str(average.dtype)
    kernel(average, parameter, pace)
    unit = unit_of(dtype, dtype)
    after, beside = numbers(average), numbers(parameter)
    place %= len(before)
    others = [tuple(one for at, one in enumerate(each) if at != place) for each in (before, after, beside)]
    left_open = pace_of(*others, unit).pace
    # Both that and rounding may move this element by so much.
    largest = 4 * max(abs(before[place]), abs(after[place]), abs(beside[place]))
    width = abs(beside[place] - before[place]) * (left_open.high - left_open.low)
    edited = after[place] + math.prod(times) * (ROUNDINGS * (unit[0] * largest + unit[1]) + width)
    if abs(edited - before[place]) <= ROUNDINGS * unit[0] * 4 * max(largest, abs(edited)):
        return  # it was put back to where it had stood
    assert pace_of(before, after, beside, unit).pace is not None
    assert pace_of(before, (*after[:place], edited, *after[place + 1 :]), beside, unit).pace is None


def test_what_stood_still_did_not_move():
    step = pace_of((1.0, 2.0), (1.0, 2.0), (5.0, -3.0), unit_of("torch.float32", "torch.float32"))
    assert (step.moved, step.partly) == (False, False)
    assert step.pace.low <= 0 <= step.pace.high


def test_elements_of_which_some_stood_still_are_told_apart():
    step = pace_of((1.0, 1.0, 1.0), (1.5, 1.0, 1.5), (2.0, 2.0, 2.0), unit_of("torch.float32", "torch.float32"))
    assert step.partly
    assert math.isclose(step.pace.low, 0.5, abs_tol=1e-4)


@pytest.mark.parametrize("strange", [math.nan, math.inf, -math.inf, 1e200])
def test_what_is_no_number_is_not_judged(strange):
    for at in range(3):
        three = [(1.0, 2.0), (1.0, 2.0), (1.0, 2.0)]
        three[at] = (1.0, strange)
        assert pace_of(*three, unit_of("torch.float64", "torch.float64")) is None


def test_an_unknown_format_is_not_judged():
    assert unit_of("torch.float8_e4m3fn", "torch.float32") is None
