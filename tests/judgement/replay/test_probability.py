"""How likely a replay of a part meets what was done in the whole."""

from math import comb

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saksi.judgement.replay.probability import meets, spread


@given(st.integers(1, 60).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n), st.integers(0, n))))
def test_it_is_the_hypergeometric_probability(numbers):
    total, touched, drawn = numbers
    exact = 1 - comb(total - touched, drawn) / comb(total, drawn)
    assert meets(total, touched, drawn) == pytest.approx(exact, abs=1e-9)


@given(st.integers(1, 10_000), st.data())
def test_one_place_is_met_as_often_as_the_share_that_is_replayed(total, data):
    drawn = data.draw(st.integers(0, total))
    assert meets(total, 1, drawn) == pytest.approx(drawn / total, abs=1e-9)


def test_the_table_of_the_documentation_holds():
    assert meets(100_000, 1_000, 459) == pytest.approx(0.99, abs=0.001)
    assert meets(100_000, 10_000, 44) == pytest.approx(0.99, abs=0.001)
    assert meets(100_000, 100, 100) == pytest.approx(0.095, abs=0.001)


def test_everything_replayed_meets_everything_and_nothing_meets_nothing():
    assert spread(5_000, 5_000) == {"0.1": 1.0, "0.01": 1.0, "0.001": 1.0}
    assert spread(5_000, 0) == {"0.1": 0.0, "0.01": 0.0, "0.001": 0.0}
    assert spread(0, 0) == {"0.1": 0.0, "0.01": 0.0, "0.001": 0.0}


@pytest.mark.parametrize("numbers", [(5, 6, 1), (5, 1, 6), (5, -1, 1), (5, 1, -1)])
def test_numbers_that_do_not_fit_are_refused(numbers):
    with pytest.raises(ValueError, match="more are touched or drawn"):
        meets(*numbers)
