from __future__ import annotations

import pytest

from judgement.rehearsals import STEPS, rehearsal, trained
from saksi.judgement.rehearsal.first_steps import FirstSteps, rehearsal_of
from saksi.words.errors import MalformedInput
from simulated_run import SimulatedRun


def test_a_rehearsal_holds_the_first_steps_of_every_rank_and_no_more():
    held = rehearsal(ranks=2)
    assert [each.rank for each in held.ranks] == [0, 1]
    for rank in held.ranks:
        assert [each.update for each in rank.updates] == list(range(STEPS))
        assert [each.step for each in rank.roots] == list(range(-1, STEPS))
        assert [each.generator for each in rank.seeded] == ["torch"]


def test_a_record_with_fewer_steps_is_no_rehearsal():
    with pytest.raises(MalformedInput, match="2 of 4 steps are in the record"):
        rehearsal_of(trained(SimulatedRun(), steps=2).items(), 4)
    with pytest.raises(MalformedInput, match="0 of 4 steps"):
        rehearsal_of([], 4)


def test_names_of_the_job_s_own_are_sorted_at_every_depth_and_large_numbers_are_text():
    groups = [{"z": {"b": 1, "a": [{"d": 2, "c": 2**70}]}, "lr": 0.5}]
    (rank,) = rehearsal(changes={0: {"groups": groups}}).ranks
    assert list(rank.updates[0].groups[0]) == ["lr", "z"]
    assert rank.updates[0].groups[0]["z"] == {"a": [{"c": str(2**70), "d": 2}], "b": 1}
    assert list(rank.updates[0].groups[0]["z"]) == ["a", "b"]


@pytest.mark.parametrize("value", ["NaN", "Infinity", 2.5, 3.0])
def test_a_loss_is_text(value):
    (rank,) = rehearsal(changes={0: {"loss": value}}).ranks
    assert rank.updates[0].loss == (value if isinstance(value, str) else str(value))


def test_it_is_known_when_the_last_step_of_every_rank_was_heard():
    first = FirstSteps(STEPS)
    over = []
    for item in trained(SimulatedRun(), ranks=2).items():
        first.take(item)
        over.append(first.over)
    assert over[-1]
    assert not any(over[: len(over) // 2])
