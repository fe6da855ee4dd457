"""How many backwards an update has against how many are planned."""

from __future__ import annotations

import pytest

from judgement.plan.test_held import update
from saksi.judgement.plan.accumulated import Accumulated


def found(wanted, losses, *, epochs=(), loads=True):
    """What is told of updates with so many backwards; an epoch begins before each step in `epochs`."""
    accumulated, out = Accumulated(wanted), []
    for step, count in enumerate(losses):
        for _ in range(epochs.count(step)):
            accumulated.begin()
        other = accumulated.take(update(step, losses=count, **({} if loads else {"batches": []})))
        if other is not None:
            out.append((step, *other))
    return out


@pytest.mark.parametrize(
    ("losses", "epochs"),
    [
        ([4, 4, 4, 4], [0]),
        ([4, 4, 2, 4, 4, 2, 4], [0, 3, 6]),  # ten batches in an epoch
        ([4, 4, 4, 2, 4, 4], [0, 2]),  # they are fetched ahead
        ([5, 4, 4], [0]),  # a batch is tried out before the first update
        ([0, 0, 0], [0]),  # in a compiled graph
        ([], [0]),
    ],
)
def test_what_is_planned_and_what_ends_with_an_epoch_are_nothing_to_speak_of(losses, epochs):
    assert found(4, losses, epochs=epochs) == []


def test_where_no_loader_gave_the_data_nobody_knows_where_an_epoch_ends():
    assert found(4, [4, 2, 4, 2, 2, 2], epochs=[0], loads=False) == []
    assert found(4, [4, 5], loads=False) == [(1, 1, 5)]


def test_more_backwards_than_planned_are_told_of_each_update_that_has_them():
    assert found(1, [1, 1, 2, 1, 2], epochs=[0]) == [(2, 2, 2), (4, 4, 2)]


def test_fewer_for_longer_than_epochs_end_are_told_from_the_first_of_them_on():
    assert found(4, [4, 4, 2, 2, 2, 2], epochs=[0]) == [(3, 2, 2), (4, 2, 2), (5, 2, 2)]
    assert found(4, [4, 2, 4, 2, 4, 2], epochs=[0, 2]) == [(5, 5, 2)]
