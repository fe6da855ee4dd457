"""Passes over a loader that no backward followed, held against those before them, judged from records alone."""

from __future__ import annotations

import pytest

from judgement.checks.loaders import SEQUENTIAL, Loader
from saksi.judgement.checks.evaluation import EVALUATIONS
from saksi.judgement.checks.judging import Judging
from simulated_run import SimulatedRun


class Held(Loader):
    """A loader that is evaluated: its batches are in the update behind the pass."""

    def evaluate(self, *, batches=None, ends=True, **changes):
        self.begin(**changes)
        places = list(self.places if batches is None else range(batches))
        handed = [self.batch(place) for place in places][:64]
        if ends:
            self.exhaust(len(places))
        return handed


def run_of(act, **options):
    simulated = SimulatedRun()
    connection = simulated.attach()
    act(connection, Held(connection, 1, sampler=SEQUENTIAL, length=20, size=4, **options))
    connection.goodbye()
    simulated.exit()
    return simulated


def judged(simulated):
    judging, news = Judging([EVALUATIONS]), []
    for item in simulated.items():
        news += judging.take(item)
    found = list(judging.findings(ended=True))
    assert [each.code for each in found] == [each.code for each in news]
    return found


def passes(*many):
    """Evaluations, each before an update; a number of batches, one that is broken off, or other fields."""

    def act(connection, held):
        for one in many:
            changes = {"batches": one} if isinstance(one, int) else dict(one)
            connection.update()
            connection.update(batches=held.evaluate(**changes))

    return judged(run_of(act))


WHOLE: dict = {}
OFF = {"batches": 2, "ends": False}


def test_evaluations_that_are_alike_are_nothing_to_speak_of():
    assert passes(WHOLE, WHOLE, WHOLE, WHOLE, WHOLE) == []
    assert passes(3, 3, 3, 3) == []


def test_a_pass_that_is_broken_off_after_three_that_ran_out_is_told():
    (found,) = passes(WHOLE, WHOLE, WHOLE, OFF, OFF)
    assert (found.code, found.severity, found.alleges, found.subject, found.first_step) == (
        "metrics.evaluation_items_differ", "info", "unknown", "loader 1", 6,
    )  # fmt: skip
    assert found.message == (
        "A pass that no backward followed was broken off behind step 6, after each of 3 passes before it ran out with "
        "5 batches of a dataset of 20 samples. An evaluation that is limited or stopped early, and other data, look "
        "the same."
    )


def test_a_dataset_of_another_size_is_told_and_no_more():
    (found,) = passes(WHOLE, WHOLE, WHOLE, {"batches": 2, "length": 8})
    assert found.severity == "info"
    assert "with 2 batches of a dataset of 8 samples, after each of 3" in found.message


def test_fewer_batches_from_the_same_length_and_size_weigh():
    (found,) = passes(WHOLE, WHOLE, WHOLE, 3)
    assert (found.severity, found.alleges) == ("warning", "unknown")
    assert found.first_step == 6


@pytest.mark.parametrize(
    "many",
    [
        (WHOLE, WHOLE, 3),
        (OFF, WHOLE, WHOLE, OFF),
        (WHOLE, OFF, WHOLE, OFF, WHOLE, OFF),
        (OFF, OFF, OFF, WHOLE),
        (3, 4, 5, 3),
    ],
)
def test_fewer_than_three_alike_are_no_measure(many):
    assert passes(*many) == []


def test_training_and_accumulation_over_a_whole_loader_are_no_evaluation():
    def trains(connection, held):
        for batches in (5, 5, 5, 2, 5):
            held.begin()
            for place in range(batches):
                connection.update(batches=[held.batch(place)])
            held.exhaust(batches)

    def accumulates(connection, held):
        for batches in (5, 5, 5, 2):
            connection.update(batches=held.evaluate(batches=batches), losses=batches)

    def in_turn(connection, held):  # one batch of a held-out set with each update
        for batches in (5, 5, 5, 3, 5):
            held.begin()
            for place in range(batches):
                connection.update(batches=[held.batch(place), held.batch(place)], losses=1)
            held.exhaust(batches)

    assert judged(run_of(trains)) == judged(run_of(accumulates)) == judged(run_of(in_turn)) == []


def test_a_loader_of_an_iterable_dataset_is_not_counted():
    endless = "torch.utils.data.dataloader._InfiniteConstantSampler"
    assert passes(*({"batches": many, "sampler": endless, "length": None} for many in (5, 5, 5, 2))) == []


def test_more_batches_than_a_frame_holds_are_counted_by_the_loader():
    def act(connection, held):
        held.length = 4 * 100
        for batches in (100, 100, 100, 90):
            connection.update(batches=held.evaluate(batches=batches), batches_omitted=batches - 64)

    (found,) = judged(run_of(act))
    assert "with 90 batches" in found.message


def test_the_evaluation_behind_the_last_update_counts_where_it_was_one_before():
    def act(connection, held):
        for batches in (5, 5, 5):
            connection.update(batches=held.evaluate(batches=batches))
        held.evaluate(batches=4)

    (found,) = judged(run_of(act))
    assert (found.severity, found.first_step) == ("warning", 2)
    assert judged(run_of(lambda connection, held: (connection.update(), held.evaluate()))) == []
