"""The mean of ranks' gradients, as floats are summed."""

from __future__ import annotations

import math
import struct

from hypothesis import given
from hypothesis import strategies as st

from saksi.judgement.updates.gradients import EPSILON, TINY
from saksi.judgement.updates.means import Elements, mean_of, reached, weights_of

NUMBERS = st.floats(-1e3, 1e3, width=32)


def single(value: float) -> float:
    """Rounded as float32 is."""
    return struct.unpack("<f", struct.pack("<f", value))[0]


def of(values, dtype="torch.float32"):
    return Elements(tuple(values), (EPSILON[dtype],) * len(values), (TINY[dtype],) * len(values))


@st.composite
def ranks(draw, least=2, most=6):
    size = draw(st.integers(8, 24))
    count = draw(st.integers(least, most))
    return [draw(st.lists(NUMBERS, min_size=size, max_size=size)) for _ in range(count)]


def summed(columns, order, factor):
    """What adding up in this order and dividing makes of it, each step rounded; divided before or behind it."""
    out = []
    for column in columns:
        total = 0.0
        for place in order:
            total = single(total + column[place])
        out.append(single(single(total / len(column)) * factor))
    return out


@given(ranks(), st.randoms(use_true_random=False), st.floats(2.0**-10, 1.0, width=32))
def test_sums_in_any_order_and_clipped_by_any_number_are_the_mean(own, random, factor):
    order = list(range(len(own)))
    random.shuffle(order)
    mean = mean_of([of(each) for each in own])
    if mean is None:
        assert not any(map(math.fsum, zip(*own, strict=True)))
        return
    found = reached(summed(list(zip(*own, strict=True)), order, factor), mean)
    if not any(abs(value) > bound for value, bound in zip(mean.values, mean.bounds, strict=True)):
        return  # they cancel out but for rounding: anything is near that
    assert found is not None
    assert found.kind == "mean"


def wave(place, rank):
    return 10.0 * math.sin(1 + place * (rank + 2))


@given(ranks(), st.integers(0, 5), st.sampled_from((-1.0, 0.0, 0.5, 2.0)))
def test_a_rank_that_counts_otherwise_is_no_mean_and_its_weight_is_found(own, who, weight):
    who %= len(own)
    own = [[value + wave(place, rank) for place, value in enumerate(each)] for rank, each in enumerate(own)]
    counted = [weight if rank == who else 1.0 for rank in range(len(own))]
    columns = zip(*own, strict=True)
    read = [single(math.fsum(w * v for w, v in zip(counted, each, strict=True)) / len(own)) for each in columns]
    elements = [of(each) for each in own]
    mean = mean_of(elements)
    assert mean is not None
    found = reached(read, mean)
    weights = weights_of(read, elements)
    if weights is None:  # two ranks whose gradients cannot be told apart, by chance
        return
    assert found is not None
    assert found.kind in {"other", "uneven"}
    assert all(abs(each * len(own) - w) < 1e-2 for each, w in zip(weights, counted, strict=True))


def test_what_is_cut_at_one_bound_is_clipping_by_value():
    own = [[1.0, -2.0, 0.3, 4.0], [0.5, -3.0, 0.1, 2.0]]
    mean = mean_of([of(each) for each in own])
    assert reached([0.75, -1.0, 0.2, 1.0], mean).kind == "clamped"
    assert reached([0.75, 1.0, 0.2, 1.0], mean).kind == "other"


def test_parts_that_are_made_smaller_are_uneven_as_no_sign_is_turned():
    mean = mean_of([of([1.0, 2.0, 3.0]), of([1.0, 2.0, 1.0])])
    assert reached([1.0, 1.0, 2.0], mean).kind == "uneven"


def test_of_numbers_that_are_not_finite_nothing_is_said():
    assert mean_of([of([1.0, math.nan]), of([1.0, 1.0])]) is None
    assert mean_of([of([0.0, 0.0]), of([0.0, 0.0])]) is None
    mean = mean_of([of([1.0, 2.0]), of([1.0, 1.0])])
    assert reached([1.0, math.inf], mean) is None


def test_ranks_with_the_same_gradient_have_no_weights_of_their_own():
    same = of([1.0, 2.0, -3.0, 4.0])
    assert weights_of([1.0, 2.0, -3.0, 4.0], [same, same]) is None


def test_where_rounding_is_coarse_no_weights_are_believed():
    own = [of([1.0, 2.0, -3.0, 4.0], "torch.bfloat16"), of([2.0, -1.0, 3.0, 1.0], "torch.bfloat16")]
    assert weights_of([1.0, 0.5, 0.5, 2.0], own) is None
