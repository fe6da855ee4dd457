"""A phase that takes several times as long as usual in some Updates is seen, and what looks like an evaluation not."""

from __future__ import annotations

from random import Random

from saksi.judgement.dynamics.phases import SlowPhases

MS = 1_000_000


def found(slow, *, updates=100, usual=10, odd=(), noise=0.5):
    """What is found where `slow(update)` are milliseconds that the data phase takes longer."""
    phases, random = SlowPhases(), Random(5)
    for update in range(updates):
        data = int(usual * MS * (1 + noise * random.random())) + slow(update) * MS
        phases.take(update, (data, 20 * MS, 5 * MS), is_odd=update in odd)
    return phases.found()


def test_updates_that_sleep_now_and_then_are_found_with_what_they_cost():
    (slow,) = found(lambda update: 300 if update >= 30 and update % 5 == 0 else 0)
    assert (slow.phase, slow.updates, slow.first, slow.last) == ("data", 14, 30, 95)
    assert slow.lost_ns == 14 * 300 * MS or abs(slow.lost_ns - 14 * 300 * MS) < 100 * MS
    assert 10 * MS <= slow.usual_ns <= 15 * MS


def test_what_is_usual_does_not_follow_slow_updates_at_once():
    (slow,) = found(lambda update: 120 if update >= 40 else 0)
    assert (slow.updates, slow.first) == (60, 40)


def test_few_cheap_or_known_ones_are_nothing():
    assert found(lambda update: 900 if update in {20, 33, 61} else 0) == []
    assert found(lambda update: 100 if update in {20, 33, 61, 70} else 0) == []
    assert found(lambda update: 60 if update > 50 else 0) == []
    assert found(lambda update: 900 if update in range(5) else 0) == []
    odd = range(7, 100, 4)
    assert found(lambda update: 900 if update in odd else 0, odd=odd) == []


def test_evaluations_at_wide_and_even_distances_are_nothing():
    assert found(lambda update: 900 if update % 20 == 0 else 0, updates=300) == []
    assert found(lambda update: 200, updates=100) == []
