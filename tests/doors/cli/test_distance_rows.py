"""The rows that say how far two records are apart."""

from saksi.doors.cli.distance_rows import distance_rows
from saksi.judgement.distance import Distance, KindLine, NumbersApart, Spread

SAME = NumbersApart(compared=48, equal=48, unlike=0, apart=0.0, step=0)
APART = NumbersApart(compared=48, equal=30, unlike=0, apart=1.64e-7, step=19)
NONE = NumbersApart(compared=0, equal=0, unlike=0, apart=None, step=None)
KINDS = ("program", "hyper_parameters", "data", "random_numbers", "code")


def distance(*, data=48, loss=APART, norm=SAME, spread=None, updates=48):
    kinds = (
        KindLine(kind=kind, equal=data, first_step=7) if kind == "data" and data < updates else
        KindLine(kind=kind, equal=updates, first_step=None)
        for kind in KINDS
    )  # fmt: skip
    return Distance(updates=updates, kinds=tuple(kinds), loss=loss, gradient_norm=norm, spread=spread)


def rows(found):
    return [(label, str(text)) for label, text in distance_rows(found)]


def test_what_is_equal_comes_first_then_how_far_numbers_are_apart():
    assert rows(distance()) == [
        (
            "apart",
            "equal in all 48 updates: what it is made of, hyper-parameters, data, random numbers and hooks",
        ),
        ("", "losses: 30 of 48 equal, the others up to 1.6e-07 of their size apart (step 19)"),
        ("", "gradient norms: 48 of 48 equal"),
    ]


def test_a_kind_that_is_not_equal_is_told_with_the_first_step():
    assert rows(distance(data=41))[1] == ("", "data: equal in 41 of 48, other from step 7 on")


def test_two_replays_are_told_with_how_many_threads_the_second_had():
    one = rows(distance(spread=Spread(threads=1, loss=APART, gradient_norm=SAME)))[-1]
    assert one == ("", "two replays here, one of them with 1 thread: losses up to 1.6e-07 apart, gradient norms equal")
    assert rows(distance(spread=Spread(threads=2, loss=APART, gradient_norm=NONE)))[-1][1].endswith(
        "with 2 threads: losses up to 1.6e-07 apart"
    )
    assert rows(distance(spread=Spread(threads=None, loss=SAME, gradient_norm=NONE)))[-1][1] == (
        "two replays here: losses equal"
    )


def test_numbers_that_were_not_compared_have_no_row():
    assert len(rows(distance(norm=NONE))) == 2


def test_what_is_no_number_in_one_of_the_two_is_counted():
    unlike = NumbersApart(compared=48, equal=46, unlike=2, apart=0.0, step=0)
    assert rows(distance(loss=unlike))[1][1] == "losses: 46 of 48 equal; 2 with no number in one of the two"


def test_nothing_is_told_where_no_update_is_in_both():
    assert rows(distance(updates=0, data=0, loss=NONE, norm=NONE)) == []
