"""Updates that take long."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from saksi.judgement.dynamics.durations import BLOCK, Distances, Durations

MS = 1_000_000


def ran(totals, phase=1):
    """Where updates of these durations stall, and the blocks that are slow, by their last update."""
    durations, stalls, slow = Durations(), [], {}
    for update, took in enumerate(totals):
        phases = [0, 0, 0]
        phases[phase] = took
        stalled, block = durations.take(tuple(phases))
        if stalled:
            stalls.append(update)
        if block is not None:
            slow[update] = block
    return stalls, slow


def test_updates_of_usual_length_with_noise_are_nothing_to_speak_of():
    draw = random.Random(1)
    assert ran([int(MS * 10 * draw.lognormvariate(0, 0.6)) for _ in range(3000)]) == ([], {})


def test_a_machine_that_others_load_for_a_while_is_nothing_to_speak_of():
    assert ran([10 * MS] * 500 + [30 * MS] * 500) == ([], {})


def test_one_that_takes_seconds_stalls_and_the_first_ones_do_not():
    usual = [10 * MS] * 400
    usual[3], usual[300], usual[350] = 60_000 * MS, 6_000 * MS, 900 * MS
    assert ran(usual) == ([300], {})


def test_a_stretch_that_is_slow_names_the_phase_that_grew():
    stalls, slow = ran([20 * MS] * 500 + [300 * MS] * 200, phase=0)
    assert stalls == []
    first = slow[min(slow)]
    assert 500 <= min(slow) < 500 + 2 * BLOCK
    assert first.phase == "data"
    assert abs(first.usual_ns - 20 * MS) < 3 * MS
    assert first.took_ns == 300 * MS


@given(st.lists(st.integers(0, 2**63 - 1), max_size=300))
def test_any_durations_are_taken(totals):
    stalls, slow = ran(totals)
    assert all(0 <= update < len(totals) for update in (*stalls, *slow))
    assert all(totals[update] for update in stalls)
    assert all(block.took_ns > block.usual_ns for block in slow.values())


def places(found):
    distances = Distances()
    for each in found:
        distances.take(each)
    return distances.are_even, distances.are_told


def test_even_distances_are_those_of_an_evaluation():
    assert places(range(99, 1000, 100)) == (True, False)
    assert places([99, 99, 199, 199, 499, 499]) == (True, False)  # two ranks, and one that was not long
    assert places([10, 57, 300]) == (False, True)
    assert places([10, 11, 12]) == (False, True)
    assert places([10, 110]) == (False, False)
