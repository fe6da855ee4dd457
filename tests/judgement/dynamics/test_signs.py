"""What becomes of a tensor's gradients, by their zeros and signs."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from saksi.judgement.dynamics.signs import ENOUGH, LEAST, USUAL, Became, Signs, kind_of

MIXED, ZERO, UP, DOWN = [1.0, -1.0, 2.0, 0.0], [0.0] * 4, [1.0] * 4, [-2.0] * 4


def became(*several):
    signs = Signs()
    return [(update, found) for update, each in enumerate(several) if (found := signs.take(update, each)) is not None]


def test_a_gradient_that_is_zero_for_long_after_it_was_not_has_vanished_from_the_first_of_these_updates():
    found = became(*[MIXED] * USUAL, *[ZERO] * (ENOUGH + 1))
    first = Became("zero", USUAL)
    assert found == [(USUAL + ENOUGH - 1, first), (USUAL + ENOUGH, first)]


def test_elements_that_all_lie_on_one_side_of_zero_for_long_have_become_so():
    assert became(*[MIXED] * USUAL, *[UP] * ENOUGH) == [(USUAL + ENOUGH - 1, Became("above", USUAL))]
    assert became(*[MIXED] * USUAL, *[DOWN] * ENOUGH) == [(USUAL + ENOUGH - 1, Became("below", USUAL))]
    assert became(*[MIXED] * USUAL, *[UP, DOWN] * ENOUGH) == []


def test_a_few_updates_are_not_enough_and_then_it_has_to_be_otherwise_for_long_again():
    assert became(*[MIXED] * USUAL, *[ZERO] * (ENOUGH - 1), MIXED, *[ZERO] * ENOUGH) == []
    again = became(*[MIXED] * USUAL, *[ZERO] * (ENOUGH - 1), *[MIXED] * USUAL, *[ZERO] * ENOUGH)
    assert [found.first for _, found in again] == [USUAL + ENOUGH - 1 + USUAL]


def test_what_was_so_from_the_start_and_what_is_so_now_and_then_is_nothing_to_speak_of():
    assert became(*[ZERO] * 200) == []
    now_and_then = ([MIXED] * (USUAL - 1) + [ZERO]) * 4
    assert became(*now_and_then, *[ZERO] * ENOUGH) == []


def test_what_is_one_sided_at_first_and_then_zero_has_vanished_from_when_it_was_zero():
    found = became(*[MIXED] * USUAL, *[UP] * (ENOUGH - 1), *[ZERO] * ENOUGH)
    assert [each for _, each in found] == [Became("zero", USUAL + ENOUGH - 1)]


def test_what_is_no_number_is_neither_usual_nor_otherwise():
    nothing = [float("nan"), 1.0, -1.0, 1.0]
    assert became(*[nothing] * USUAL, *[ZERO] * ENOUGH) == []
    assert became(*[MIXED] * USUAL, nothing, *[ZERO] * ENOUGH) == []
    assert became(*[MIXED] * USUAL, *[[float("inf")] * 4] * ENOUGH) == []


def test_an_update_counts_once_and_in_order():
    signs = Signs()
    for update in [*range(USUAL), *[USUAL] * ENOUGH, *range(USUAL)]:
        assert signs.take(update, ZERO if update == USUAL else MIXED) is None


def test_few_elements_have_a_single_sign_by_chance():
    assert kind_of([1.0] * (LEAST - 1)) == "usual"
    assert kind_of([1.0] * LEAST) == "above"
    assert kind_of([0.0]) == "zero"


@given(st.lists(st.lists(st.sampled_from([0.0, 1.0, -1.0]), min_size=1, max_size=5), max_size=120))
def test_nothing_has_become_so_without_enough_updates_before_and_since(several):
    kinds = [kind_of(each) for each in several]
    for update, found in became(*several):
        assert kinds[found.first : update + 1] == [found.kind] * (update + 1 - found.first)
        assert update + 1 - found.first >= ENOUGH
        since = max(at for at in range(found.first) if kinds[at] == "usual") + 1
        assert kinds[since - USUAL : since] == ["usual"] * USUAL
