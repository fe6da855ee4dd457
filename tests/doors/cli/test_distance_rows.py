"""The rows that say how far two records are apart."""

import pytest

from saksi.doors.cli.distance_rows import distance_rows
from saksi.judgement.distance import KINDS, BetweenReplays, Distance, KindLine, NumbersApart, Where


def at(step, *, rank=0, optimizer=0):
    return Where(rank=rank, optimizer=optimizer, update=step)


SAME = NumbersApart(compared=48, equal=48, unlike=0, apart=None, at=None)
APART = NumbersApart(compared=48, equal=30, unlike=0, apart=1.64e-7, at=at(19))
NONE = NumbersApart(compared=0, equal=0, unlike=0, apart=None, at=None)


def distance(*, data=(48, 48, None), loss=APART, norm=SAME, updates=48, **more):
    compared = dict.fromkeys(KINDS, (updates, updates, None)) | {"data": data}
    kinds = (
        KindLine(kind=kind, compared=of, equal=equal, first=first) for kind, (of, equal, first) in compared.items()
    )
    rest = {"threads": (2, 2), "between_replays": None, "reason": None} | more
    return Distance(updates=updates, kinds=tuple(kinds), loss=loss, gradient_norm=norm, **rest)


def between(*threads, loss=APART, norm=SAME, updates=48):
    return BetweenReplays(updates=updates, threads=threads, loss=loss, gradient_norm=norm)


def rows(found):
    return [(label, str(text)) for label, text in distance_rows(found)]


def test_what_is_equal_comes_first_then_how_far_numbers_are_apart():
    equal = "model and optimizer, hyper-parameters, data, random numbers, hooks, modes and flags"
    assert rows(distance()) == [
        ("apart", f"equal in all 48 updates: {equal}"),
        ("", "losses: 30 of 48 equal, the others up to 1.6e-07 of their size apart (step 19)"),
        ("", "gradient norms: 48 of 48 equal"),
        ("", "weights, buffers and moments are in none of these numbers"),
    ]


@pytest.mark.parametrize(
    ("place", "said"),
    [
        (at(7), "step 7"),
        (at(7, rank=1), "step 7 of rank 1"),
        (at(7, optimizer=1), "update 7 of optimizer 1"),
    ],
)
def test_a_kind_that_is_not_equal_is_told_with_the_first_place(place, said):
    found = rows(distance(data=(48, 41, place)))
    assert "data" not in found[0][1]
    assert found[1] == ("", f"data: equal in 41 of 48, first other in {said}")


def test_what_could_not_be_compared_is_not_told_as_equal():
    found = rows(distance(data=(0, 0, None)))
    assert "data" not in found[0][1]
    assert found[1] == ("", "not compared, since it is in neither record or not known: data")
    found = rows(distance(data=(40, 40, None)))
    assert "data" not in found[0][1]
    assert found[1] == ("", "data: equal in the 40 updates in which it was compared")


WHOLE = "losses 48 of 48 equal"
PART = "losses 30 of 48 equal, the others up to 1.6e-07 of their size apart (step 19); gradient norms 48 of 48 equal"


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (between(2, 1), f", with 2 threads and with 1 thread: {PART}"),
        (between(2, None, norm=NONE, loss=SAME), f", with 2 threads and with an unknown number of threads: {WHOLE}"),
        (between(2, 2, norm=NONE, loss=SAME), f", both with 2 threads: {WHOLE}"),
        (between(None, None, norm=NONE, loss=SAME), f": {WHOLE}"),
        (between(2, 1, norm=NONE, loss=SAME, updates=9), f", with 2 threads and with 1 thread: in 9 updates {WHOLE}"),
        (between(2, 2, norm=NONE, loss=NONE), ", both with 2 threads: nothing that is a number"),
    ],
)
def test_two_replays_are_told_with_how_many_threads_each_had(found, said):
    assert rows(distance(between_replays=found))[-1] == ("", f"two replays here{said}")


def test_a_second_replay_that_came_to_nothing_is_told_with_the_reason():
    assert rows(distance(reason="no room"))[-1] == ("", "no second replay to tell it from: no room")


def test_numbers_that_were_not_compared_have_no_row():
    assert len(rows(distance(norm=NONE))) == 3


def test_what_is_no_number_in_one_of_the_two_is_counted_and_is_not_equal():
    unlike = NumbersApart(compared=48, equal=46, unlike=2, apart=None, at=None)
    said = "46 of 48 equal; 2 with no number in one of the two"
    assert rows(distance(loss=unlike))[1][1] == f"losses: {said}"
    assert f"losses {said}" in rows(distance(between_replays=between(1, 2, loss=unlike)))[-1][1]


def test_nothing_is_told_where_no_update_is_in_both():
    assert rows(distance(updates=0, data=(0, 0, None), loss=NONE, norm=NONE)) == []
