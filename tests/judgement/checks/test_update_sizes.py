"""How many samples updates take, judged from records alone."""

from __future__ import annotations

import pytest

from saksi.judgement.checks.judging import Judging
from saksi.judgement.checks.update_sizes import UPDATE_SIZES
from saksi.judgement.items import item_of
from saksi.words.codec import decode_record
from simulated_run import SimulatedRun, hex64


def batches(items):
    return [
        {"loader": 0, "ordinal": 0, "digest": f"sha256:{hex64('b')}", "items": each, "ids": None}
        for each in items
    ]  # fmt: skip


def run_of(*attempts):
    """Attempts of ranks of updates of batches of so many samples."""
    simulated = SimulatedRun()
    for number, ranks in enumerate(attempts):
        if number:
            simulated.resume()
        first = 4000 + 10 * number
        connections = [simulated.attach(rank, world_size=len(ranks), pid=first + rank) for rank in range(len(ranks))]
        for connection, updates in zip(connections, ranks, strict=True):
            for items in updates:
                connection.update(batches=batches(items))
            connection.goodbye()
        simulated.exit()
    return simulated


def judged(simulated):
    judging, news = Judging([UPDATE_SIZES]), []
    for index, entry in enumerate(simulated.entries):
        news += judging.take(item_of(index, decode_record(entry), simulated.blob))
    return judging.findings(ended=True), news


EPOCH = [[16]] * 12 + [[5]]


def test_half_as_many_samples_as_in_the_attempt_before_are_told_with_both_numbers():
    (found,), news = judged(run_of([EPOCH], [[[8]] * 20]))
    assert (found.code, found.severity, found.first_step, found.last_step) == (
        "data.update_size_changed", "info", 0, 19,
    )  # fmt: skip
    assert "Most updates take 8 samples, and 16 in the attempt before." in found.message
    assert [each.code for each in news] == [found.code]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ([EPOCH], [EPOCH]),
        ([[[16]] * 12, [[16]] * 12], [[[32]] * 12]),  # a node was given back
        ([EPOCH], [[[8, 8]] * 12]),  # accumulated
        ([EPOCH], [[[8]] * 7]),  # too few
        ([EPOCH], [[[]] * 12]),  # from no loader
        ([EPOCH], [[[16], [16], [4]] * 8]),
        ([EPOCH], [[[8], [16], [4]] * 8]),  # no size that most have
    ],
    ids=["alike", "elastic", "accumulated", "few", "no loader", "last of many epochs", "mixed"],
)
def test_what_is_as_before_or_cannot_be_compared_is_nothing_to_speak_of(first, second):
    assert judged(run_of(first, second)) == ((), [])


def test_other_ranks_with_the_same_batches_take_another_number():
    (found,), _ = judged(run_of([[[16]] * 12, [[16]] * 12], [[[16]] * 12]))
    assert "16 samples, and 32 in the attempt before (of 1 rank, and of 2 before)" in found.message


def test_an_attempt_between_that_cannot_be_compared_is_passed_over():
    (found,), _ = judged(run_of([EPOCH], [[[4]] * 3], [[[8]] * 12]))
    assert "Most updates take 8 samples, and 16" in found.message
