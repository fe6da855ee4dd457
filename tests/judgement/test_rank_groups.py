from saksi.judgement.rank_groups import Member, grouped, overlapping


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
    assert overlapping(members, [2]) == [0, 2]
    assert overlapping(members, [3]) == [3]


def test_nothing_is_grouped_from_nothing():
    assert grouped([]) == []
