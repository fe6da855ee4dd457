"""Agreement of ranks judged from records alone."""

from __future__ import annotations

import pytest

from saksi.judgement.checks import agreement
from saksi.judgement.checks.agreement import AGREEMENT
from saksi.judgement.checks.judging import Judging
from saksi.judgement.items import item_of
from saksi.words.codec import decode_record
from simulated_run import SimulatedRun, hex64


def prints(start, end):
    return [{"name": "sum64-4096", "over": "parameters", "share": 0, "of": 1, "start": start * 32, "end": end * 32}]


def batch(letter):
    return [{"loader": 0, "ordinal": 0, "digest": f"sha256:{hex64(letter)}", "items": 2, "ids": None}]


def run_of(*ranks, data=None, skipped=(), restarts=1):
    """A run whose ranks began and ended their updates with these letters, and had these batches."""
    simulated = SimulatedRun()
    for start in range(restarts):
        connections = [
            simulated.attach(rank, world_size=len(ranks), pid=4000 + 10 * start + rank) for rank in range(len(ranks))
        ]
        for step in range(len(ranks[0])):
            for rank, connection in enumerate(connections):
                letters = ranks[rank][step]
                found = [] if data is None else batch(data[rank][step])
                connection.update(fingerprints=prints(*letters), batches=found, skipped=step in skipped)
        for connection in connections:
            connection.goodbye()
    simulated.exit()
    return simulated


def judged(simulated):
    judging, news = Judging([AGREEMENT]), []
    for index, entry in enumerate(simulated.entries):
        news += judging.take(item_of(index, decode_record(entry), simulated.blob))
    return judging.findings(ended=True), news


def said(simulated):
    return [(each.code, each.first_step, each.last_step, each.ranks) for each in judged(simulated)[0]]


WHOLE = ("ab", "bc", "cd", "de")


def test_replicas_that_stay_equal_are_nothing_to_speak_of():
    assert judged(run_of(WHOLE, WHOLE, WHOLE)) == ((), [])


def test_a_replica_that_becomes_another_is_told_with_its_rank_and_its_first_step():
    astray = ("ab", "bf", "fa", "ab")
    (found,), news = judged(run_of(WHOLE, astray, WHOLE))
    assert (found.code, found.severity, found.first_step, found.last_step, found.ranks) == (
        "agreement.replicas_differ", "warning", 1, 3, (1,),
    )  # fmt: skip
    assert found.alleges == "unknown"
    assert len(news) == 1


def test_where_there_is_no_majority_all_ranks_are_named():
    assert said(run_of(WHOLE, ("ab", "bf", "fa", "ab"))) == [("agreement.replicas_differ", 1, 3, (0, 1))]


def test_shards_differ_from_the_start_and_are_not_judged():
    assert judged(run_of(WHOLE, ("ef", "fa", "ab", "bc"))) == ((), [])


def test_a_rank_that_trains_alone_is_not_judged():
    assert judged(run_of(WHOLE)) == ((), [])


def test_ranks_that_are_started_again_are_compared_among_themselves():
    assert judged(run_of(WHOLE, WHOLE, restarts=2)) == ((), [])


def test_updates_that_one_rank_skipped_are_not_compared():
    assert judged(run_of(WHOLE, ("ab", "ff", "cd", "de"), skipped=[1])) == ((), [])


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ("abcdefgh", "bcdefgha", []),
        ("aaaaaaaa", "aaaaaaaa", []),  # tensor parallel ranks have the same by design
        ("abcdefgh", "bbcdffgh", []),  # by chance, now and then
        ("abcdefgh", "bacdefgh", [("agreement.batches_equal", 2, 7, (0, 1))]),
    ],
)
def test_batches_that_are_equal_after_they_were_not_are_told(first, second, expected):
    whole = ["ab"] * len(first)
    assert said(run_of(whole, whole, data=[first, second])) == expected


def test_what_waits_for_other_ranks_is_bounded(monkeypatch):
    monkeypatch.setattr(agreement, "MAX_WAITING", 4)
    simulated = SimulatedRun()
    one, other = (simulated.attach(rank, world_size=2) for rank in range(2))
    for _ in range(20):
        one.update(fingerprints=prints("a", "a"))
    one.flush()
    for _ in range(20):
        other.update(fingerprints=prints("a", "b"))
    other.flush()
    simulated.exit()
    (found,), _ = judged(simulated)
    assert found.first_step == 16  # the oldest were let go
