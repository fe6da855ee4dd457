"""The Updates of two records as pairs: each that both have, whatever the order of ranks in either."""

from hypothesis import given
from hypothesis import strategies as st

from saksi.judgement import paired_views
from saksi.judgement.paired_views import MAX_WAITING, pairs, side_by_side
from saksi.judgement.update_views import Key, UpdateView

PLACES = [(rank, update) for rank in range(3) for update in range(5)]


def view(rank, update, at=""):
    key = Key(attempt=0, generation=0, update=update, rank=rank, optimizer=0, at=at)
    return UpdateView(key=key, entry=0, fields={"root": {}} if at else {"rng": {}})


def places(a, b):
    found = list(pairs(iter([view(*each) for each in a]), iter([view(*each) for each in b])))
    assert all(one.key == other.key for one, other in found)
    return [(one.key.rank, one.key.update) for one, _ in found]


@given(st.permutations(PLACES), st.permutations(PLACES), st.sets(st.sampled_from(PLACES)))
def test_each_update_that_both_have_is_a_pair_once(a, b, left_out):
    kept = [each for each in b if each not in left_out]
    assert sorted(places(a, kept)) == sorted(places(kept, a)) == sorted(kept)


def test_the_first_of_a_pair_is_of_the_first_record():
    one, other = view(0, 1), view(0, 1)
    ((first, second),) = pairs(iter([view(0, 0), one]), iter([other]))
    assert (first is one, second is other) == (True, True)


def test_roots_are_in_no_pair():
    assert places([(0, 0), (0, 0, "step")], [(0, 0), (0, 0, "step")]) == [(0, 0)]


def test_no_more_than_so_many_wait_for_the_other_record(monkeypatch):
    monkeypatch.setattr(paired_views, "MAX_WAITING", 2)
    many = [(0, update) for update in range(9)]
    assert places(many, many) == many
    # The first two of the other record come once those of this one were given up.
    assert places(many, [(1, 0)] * 9 + [(0, 0), (0, 7), (0, 8)]) == [(0, 7), (0, 8)]
    assert MAX_WAITING > 1000


def test_neither_record_is_read_far_ahead_of_the_other():
    sides = [side for side, _ in side_by_side(iter([view(0, 0)] * 3), iter([view(0, 0)] * 5))]
    assert sides == [0, 1, 0, 1, 0, 1, 1, 1]
