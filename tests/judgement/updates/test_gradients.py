"""What became of a gradient: clipping and unscaling are told from edits, at any size and in any precision."""

from __future__ import annotations

import math
import struct

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from saksi.judgement.updates.gradients import EPSILON, Pair, became

FLOAT = "torch.float32"


def f32(number):
    return struct.unpack("<f", struct.pack("<f", number))[0]


def pairs(finished, change):
    return [
        Pair("a", finished[::2], [change(g) for g in finished[::2]]),
        Pair("b", finished[1::2], [change(g) for g in finished[1::2]]),
    ]


large = st.floats(min_value=2.0**-40, max_value=1e3, width=32)  # what is smaller is flushed on the way
sizes = st.just(0.0) | large
gradients = st.lists(sizes | sizes.map(lambda g: -g), min_size=4, max_size=40)
factors = st.floats(min_value=2**-24, max_value=2**24, width=32)


@given(gradients)
def test_what_was_not_touched_is_the_same(finished):
    assert became(pairs(finished, lambda g: g), FLOAT).kind == "same"


@given(gradients, factors)
def test_one_positive_number_for_all_is_scaling_whatever_it_is(finished, factor):
    found = became(pairs(finished, lambda g: f32(g * factor)), FLOAT)
    assert found.kind in {"same", "scaled"}


@given(gradients, factors, factors)
def test_unscaling_and_then_clipping_is_scaling(finished, first, second):
    found = became(pairs(finished, lambda g: f32(f32(g * first) * second)), FLOAT)
    assert found.kind in {"same", "scaled"}


@given(gradients, st.floats(min_value=2**-10, max_value=1e3, width=32))
def test_clipping_by_value_is_clamping(finished, bound):
    found = became(pairs(finished, lambda g: max(-bound, min(bound, g))), FLOAT)
    assert found.kind in {"same", "clamped", "scaled"}


@given(gradients, st.floats(min_value=0.125, max_value=0.75, width=32))
def test_one_tensor_made_smaller_is_uneven_and_named(finished, factor):
    assume(any(finished))
    given_pairs = [Pair("a", finished, finished), Pair("b", finished, [f32(g * factor) for g in finished])]
    found = became(given_pairs, FLOAT)
    assert found.kind in {"uneven", "clamped"}
    assert found.names == ("b",)


@given(gradients)
def test_a_sign_that_was_turned_around_in_one_tensor_is_a_change(finished):
    assume(any(finished))
    given_pairs = [Pair("a", finished, finished), Pair("b", finished, [-g for g in finished])]
    found = became(given_pairs, FLOAT)
    assert found.kind == "changed"
    assert found.names == ("b",)


@given(st.lists(large | large.map(lambda g: -g), min_size=4, max_size=40), factors)
def test_the_tensor_that_was_changed_is_named_also_under_a_clipping_of_all(finished, factor):
    clipped = [f32(g * factor) for g in finished]
    turned = [clipped[0], *(-g for g in clipped[1:])]
    given_pairs = [Pair("a", finished, clipped), Pair("b", finished, turned), Pair("c", finished, clipped)]
    found = became(given_pairs, FLOAT)
    assert (found.kind, found.names, found.bad) == ("changed", ("b",), len(finished) - 1)


@given(gradients)
def test_all_signs_turned_around_is_reversal(finished):
    assume(any(finished))
    assert became(pairs(finished, lambda g: -g), FLOAT).kind == "reversed"


def test_what_was_not_finite_may_be_replaced_and_nothing_may_become_so():
    assert became([Pair("a", [math.nan, math.inf, 1.0], [0.0, 1.0, 1.0])], FLOAT).kind == "same"
    assert became([Pair("a", [1.0, 2.0], [1.0, math.nan])], FLOAT).kind == "changed"
    assert became([], FLOAT).kind == "same"


def test_noise_that_turns_no_sign_is_uneven_and_noise_that_does_is_a_change():
    assert became([Pair("a", [1.0, 2.0, 3.0], [1.1, 2.0, 2.9])], FLOAT).kind == "uneven"
    assert became([Pair("a", [1.0, 0.01, 3.0], [1.1, -0.01, 2.9])], FLOAT).kind == "changed"


@pytest.mark.parametrize("dtype", sorted(EPSILON))
def test_in_every_precision_rounding_is_no_change_and_a_share_above_it_is(dtype):
    epsilon = EPSILON[dtype]
    rounded = [Pair("a", [1.0, 3.0, -5.0], [0.5, 1.5 * (1 + epsilon), -2.5])]
    assert became(rounded, dtype).kind == "scaled"
    uneven = [Pair("a", [1.0, 3.0, -5.0], [0.5, 1.5 * (1 + 16 * epsilon), -2.5])]
    assert became(uneven, dtype).kind == "uneven"
