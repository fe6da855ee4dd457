"""Values that leap out of those just before them."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saksi.judgement.dynamics.jumps import LEAST, Window


def jumps(values, times=4.0):
    window = Window(times)
    return [at for at, value in enumerate(values) if window.take(value) is not None]


def falling(steps, seed=0, noise=0.05):
    """A loss that falls as losses do."""
    draw = random.Random(seed)
    return [0.3 + 4.0 / (1 + step / 20) * (1 + draw.gauss(0, noise)) for step in range(steps)]


@pytest.mark.parametrize("seed", range(20))
def test_a_loss_that_falls_with_noise_never_jumps(seed):
    assert jumps(falling(1000, seed)) == []


@pytest.mark.parametrize("seed", range(20))
def test_a_norm_with_heavy_tails_never_jumps(seed):
    draw = random.Random(seed)
    assert jumps([draw.lognormvariate(0, 0.7) for _ in range(2000)], times=30.0) == []


@pytest.mark.parametrize("seed", range(20))
def test_a_small_loss_with_a_hard_batch_now_and_then_does_not_jump(seed):
    draw = random.Random(seed)
    assert jumps([0.02 * draw.expovariate(1) for _ in range(500)]) == []


def test_a_loss_that_leaps_jumps_where_it_does_and_what_stays_high_is_usual_soon():
    values = falling(200)
    values[100:] = [each + 10 for each in values[100:]]
    found = jumps(values)
    assert found[0] == 100
    assert len(found) < 5


def test_a_scale_that_doubles_now_and_then_is_no_jump():
    assert jumps([each * 2 ** (at // 300) for at, each in enumerate(falling(1200, noise=0.01))]) == []
    assert jumps([2.0 ** (at // 3) for at in range(300)]) == []


def test_a_single_leap_is_a_single_jump_with_the_median_before_it():
    values = [1.0 + 0.01 * (step % 7) for step in range(100)]
    window = Window(4.0)
    found = [window.take(5.0 if at == 60 else value) for at, value in enumerate(values)]
    assert [at for at, each in enumerate(found) if each is not None] == [60]
    assert found[60] == pytest.approx(1.03)


def test_the_first_values_are_no_measure():
    assert jumps([1.0] * (LEAST - 1) + [100.0]) == []
    assert jumps([1.0] * LEAST + [100.0]) == [LEAST]


def test_a_loss_below_nothing_may_jump_too():
    assert jumps([-5.0 + 0.01 * (step % 5) for step in range(50)] + [3.0]) == [50]


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=200), st.sampled_from([4.0, 30.0]))
def test_any_series_is_taken_and_only_a_new_maximum_jumps(values, times):
    window, last = Window(times), []
    for value in values:
        if window.take(value) is not None:
            assert value > max(last)
        last = [*last, value][-64:]


@given(st.lists(st.floats(1e-3, 1e3), min_size=40, max_size=120), st.sampled_from([0.5, 2.0, 1024.0]))
def test_the_unit_does_not_matter(values, unit):
    assert jumps(values) == jumps([each * unit for each in values])
