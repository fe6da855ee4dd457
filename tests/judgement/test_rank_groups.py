from hypothesis import given
from hypothesis import strategies as st

from saksi.judgement.rank_groups import Member, grouped, present_ranks


def member(rank: int, begun: int, ended: int | None = None, **more) -> Member:
    fields = {"attempt": 0, "world_size": 2, "parent": 9} | more
    return Member(rank=rank, begun=begun, ended=ended, **fields)


def test_each_rank_is_in_a_group_once():
    assert grouped([member(0, 1), member(1, 2), member(0, 3), member(1, 4)]) == [[0, 1], [2, 3]]


def test_attempts_are_kept_apart_and_in_order():
    members = [member(0, 1, attempt=1), member(0, 2), member(1, 3, attempt=1), member(1, 4)]
    assert grouped(members) == [[1, 3], [0, 2]]


def test_nobody_joins_a_group_of_which_one_had_ended():
    assert grouped([member(0, 1, 5), member(1, 6, 9)]) == [[0], [1]]
    assert grouped([member(0, 1, 7), member(1, 6, 9)]) == [[0, 1]]


def test_another_world_size_is_another_group():
    assert grouped([member(0, 1, world_size=2), member(1, 2, world_size=3)]) == [[0], [1]]
    assert grouped([member(0, 1, world_size=2), member(1, 2, world_size=None)]) == [[0, 1]]


def test_of_two_open_groups_that_of_the_same_parent_is_meant():
    members = [member(0, 1, parent=7), member(0, 2, parent=8), member(1, 3, parent=8), member(1, 4, parent=7)]
    assert grouped(members) == [[0, 3], [1, 2]]


def test_a_rank_that_is_replaced_alone_runs_beside_the_others():
    members = [member(0, 1, 20), member(1, 2, 5), member(1, 6, 19), member(0, 30)]
    assert grouped(members) == [[0, 1], [2], [3]]
    assert present_ranks(members, [[2], [3]]) == [{0, 1}, {0}]


@st.composite
def histories(draw):
    """Members in the order in which they attached."""
    begins = sorted(draw(st.lists(st.integers(0, 40), max_size=12)))
    return [
        member(
            draw(st.integers(0, 3)),
            begun,
            draw(st.none() | st.integers(begun, 45)),
            attempt=draw(st.integers(0, 1)),
            world_size=draw(st.sampled_from([None, 2, 4])),
            parent=draw(st.sampled_from([None, 7, 8])),
        )
        for begun in begins
    ]


@given(histories())
def test_present_is_whoever_ran_at_a_moment_at_which_the_group_did(members):
    groups = grouped(members)
    for group, present in zip(groups, present_ranks(members, groups), strict=True):
        mine, begun = members[group[0]], min(members[at].begun for at in group)
        ends = [members[at].ended for at in group]
        ended = None if None in ends else max(ends)
        assert present == {
            each.rank
            for each in members
            if each.attempt == mine.attempt
            and each.world_size in (None, mine.world_size)
            and (ended is None or each.begun <= ended)
            and (each.ended is None or each.ended >= begun)
        }


def test_nothing_is_grouped_from_nothing():
    assert grouped([]) == []
