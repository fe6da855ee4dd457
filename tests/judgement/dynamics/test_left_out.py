"""Updates that a gradient scaler left out."""

from __future__ import annotations

from saksi.judgement.dynamics.left_out import IN_A_ROW, LeftOut


def told(skipped):
    left_out = LeftOut()
    return [at for at, each in enumerate(skipped) if left_out.take(skipped=each) is not None]


def test_a_scaler_that_begins_high_and_grows_now_and_then_is_nothing_to_speak_of():
    assert told([True] * 16 + ([False] * 2000 + [True]) * 3) == []


def test_a_scaler_that_grows_each_hundred_updates_is_nothing_to_speak_of():
    assert told([True] * 10 + ([False] * 100 + [True]) * 20) == []


def test_no_scaler_leaves_out_every_update():
    assert told([True] * 100)[0] == IN_A_ROW


def test_every_tenth_update_left_out_is_told_once_enough_are_known():
    found = told(([False] * 9 + [True]) * 50)
    assert found[0] == 199


def test_a_few_updates_say_nothing_of_a_share():
    assert told([False, True] * 60) == []
