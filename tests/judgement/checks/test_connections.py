"""One process on several connections (spec/frames.md, Connecting 5): what is honest there, and what is lost."""

import pytest

from saksi.judgement.checks import ALL, Judging
from saksi.judgement.checks.coverage import COVERAGE
from saksi.judgement.checks.reconnections import RECONNECTIONS
from saksi.judgement.checks.witness import CHAINS
from saksi.judgement.history_builder import HistoryBuilder
from saksi.judgement.verdict import judge
from simulated_run import SimulatedRun


def report(simulated: SimulatedRun, **how):
    return judge(simulated.items(), run=simulated.run, **how).report


def codes(simulated: SimulatedRun) -> list[str]:
    """Of what is found, all but that a connection was closed: that is for `test_reconnections.py`."""
    return [each.code for each in report(simulated).items if each.code != "witness.connection_closed"]


def updates(connection, count: int) -> None:
    for _ in range(count):
        connection.update()


def reconnected(*, undelivered: int = 0, recorded: bool = True) -> SimulatedRun:
    """Two updates on one connection, two on the next; `undelivered` frames were dropped as the first one broke."""
    simulated = SimulatedRun()
    first = simulated.attach()
    updates(first, 2)
    first.vanish() if recorded else first.flush()
    for _ in range(undelivered):
        first.next_update()
    second = simulated.reattach(first, undelivered=undelivered)
    updates(second, 2)
    second.goodbye()
    simulated.exit()
    return simulated


@pytest.mark.parametrize("recorded", [True, False])
def test_a_process_that_connects_again_goes_on_counting(recorded):
    simulated = reconnected(recorded=recorded)
    found = report(simulated)
    assert codes(simulated) == []
    assert (found.coverage.complete, found.coverage.steps_expected, found.coverage.steps_witnessed) == (True, 4, 4)


def test_what_was_not_delivered_between_two_connections_is_missing_and_dropped_once():
    simulated = reconnected(undelivered=3)
    found = report(simulated)
    assert set(codes(simulated)) == {"coverage.records_dropped", "coverage.steps_missing"}
    assert all(each.severity == "warning" for each in found.items)
    missing = next(each for each in found.items if each.code == "coverage.steps_missing")
    assert (missing.first_step, missing.last_step) == (2, 4)
    assert (found.coverage.steps_expected, found.coverage.steps_witnessed) == (7, 4)
    assert found.coverage.dropped_records == 3


def test_drops_of_one_process_are_counted_once_over_all_its_connections():
    simulated = SimulatedRun()
    connection = simulated.attach()
    connection.drop_update()
    for _ in range(3):
        connection.update()
        connection.vanish()
        connection = simulated.reattach(connection)
    connection.drop_update()
    connection.goodbye()
    simulated.exit()
    assert report(simulated).coverage.dropped_records == 2
    assert set(codes(simulated)) == {"coverage.records_dropped", "coverage.steps_missing"}


def test_a_process_whose_first_connections_nobody_heard_has_dropped_frames():
    simulated = SimulatedRun()
    first = simulated.attach()
    del simulated.entries[-1]
    second = simulated.reattach(first, undelivered=2)
    updates(second, 3)
    second.goodbye()
    simulated.exit()
    assert codes(simulated) == ["coverage.records_dropped"]
    assert report(simulated).coverage.dropped_records == 2


def test_frames_that_were_dropped_before_the_first_of_a_connection_do_not_break_it():
    simulated = SimulatedRun()
    first = simulated.attach()
    updates(first, 1)
    first.vanish()
    second = simulated.reattach(first, undelivered=2)
    second.pending.clear()
    second.seq, second.prev, second.lost = 1, "0" * 64, 3
    second.update()
    second.goodbye()
    simulated.exit()
    assert "witness.chain_broken" not in codes(simulated)
    assert report(simulated).coverage.dropped_records == 3


def test_a_connection_that_begins_behind_numbers_it_did_not_drop_is_broken():
    simulated = SimulatedRun()
    connection = simulated.attach()
    connection.pending.clear()
    connection.prev = "0" * 64
    connection.update()
    connection.goodbye()
    simulated.exit()
    assert "witness.chain_broken" in codes(simulated)


def test_a_connection_that_names_bytes_before_its_first_frame_is_broken():
    simulated = SimulatedRun()
    connection = simulated.attach()
    connection.update()
    del connection.pending[0]
    connection.pending[0] = connection.pending[0].replace(b'"seq":1', b'"seq":0')
    connection.vanish()
    simulated.exit()
    assert "witness.chain_broken" in codes(simulated)


def test_updates_missing_at_the_end_of_a_connection_are_known_from_the_next():
    simulated = SimulatedRun()
    first = simulated.attach()
    updates(first, 2)
    first.vanish()
    first.next_update()
    second = simulated.reattach(first)
    second.goodbye()
    simulated.exit()
    missing = next(each for each in report(simulated).items if each.code == "coverage.steps_missing")
    assert (missing.first_step, missing.last_step) == (2, 2)


def test_the_counters_of_every_optimizer_go_on():
    simulated = SimulatedRun()
    first = simulated.attach()
    updates(first, 2)
    first.update(optimizer=1)
    first.vanish()
    second = simulated.reattach(first)
    second.update(optimizer=1)
    second.goodbye()
    simulated.exit()
    assert codes(simulated) == []


def test_a_counter_that_goes_back_on_a_later_connection_is_said_so():
    simulated = SimulatedRun()
    first = simulated.attach()
    updates(first, 3)
    first.vanish()
    second = simulated.reattach(first)
    second.updates[0] = 1
    updates(second, 3)
    second.goodbye()
    simulated.exit()
    assert any("went back" in each.message for each in report(simulated).items)


def test_a_later_connection_does_not_excuse_its_first_update():
    simulated = SimulatedRun()
    first = simulated.attach()
    first.vanish()
    first.next_update()
    second = simulated.reattach(first)
    updates(second, 2)
    second.goodbye()
    simulated.exit()
    missing = next(each for each in report(simulated).items if each.code == "coverage.steps_missing")
    assert (missing.first_step, missing.last_step) == (0, 0)


def test_blocks_of_the_old_connection_may_come_behind_the_new_one():
    simulated = SimulatedRun()
    first = simulated.attach()
    updates(first, 3)
    second = simulated.reattach(first)
    updates(second, 2)
    second.flush()
    first.vanish()
    updates(second, 1)
    second.goodbye()
    simulated.exit()
    assert codes(simulated) == []
    judging = Judging(ALL)
    assert [each for item in simulated.items() for each in judging.take(item)] == []


def test_a_rank_that_is_known_late_is_the_same_process():
    simulated = SimulatedRun()
    first = [simulated.attach(pid=4000 + rank) for rank in range(2)]
    second = []
    for rank, each in enumerate(first):
        each.vanish()
        second.append(simulated.reattach(each, rank=rank, world_size=2))
    for each in second:
        updates(each, 3)
    for each in second:
        each.goodbye()
    simulated.exit()
    found = report(simulated)
    assert found.items == ()
    assert (found.coverage.steps_expected, found.coverage.ranks) == (3, 2)


def test_a_process_that_connects_again_and_vanishes_ended_silently():
    simulated = SimulatedRun()
    first = simulated.attach()
    updates(first, 2)
    first.vanish()
    simulated.reattach(first).vanish()
    simulated.exit()
    assert codes(simulated) == ["coverage.rank_ended_silently"]
    found = next(each for each in report(simulated).items if each.code == "coverage.rank_ended_silently")
    assert (found.severity, found.first_step) == ("warning", 1)


def test_a_new_agent_that_hears_the_same_process_goes_on_counting():
    simulated = SimulatedRun()
    first = simulated.attach()
    updates(first, 2)
    first.flush()
    simulated._connections = 0
    simulated.admit()
    second = simulated.reattach(first)
    updates(second, 2)
    second.goodbye()
    simulated.exit()
    assert codes(simulated) == []


def test_a_drawing_goes_on_where_the_process_does():
    history = HistoryBuilder()
    for item in reconnected().items():
        history.take(item)
    assert [step for step, _ in history.build().series_of("loss", 0).points] == [0, 1, 2, 3]


def test_of_processes_that_came_and_went_without_training_nothing_is_kept():
    simulated = SimulatedRun()
    trainer = simulated.attach(pid=4000)
    trainer.update()
    trainer.flush()
    for number in range(50):
        simulated.attach(pid=5000 + number).goodbye()
    judging = Judging(ALL)
    for item in simulated.items():
        judging.take(item)
    coverage, chains, others = (judging.state_of(each) for each in (COVERAGE, CHAINS, RECONNECTIONS))
    assert [each.pid for each in coverage.trainees] == [4000]
    assert [pid for _, pid, _ in others.recorders] == [4000]
    assert (others.pids, others.left, others.refused, len(others.of)) == ({}, {}, {}, 1)
    assert len(coverage.open) == len(chains.chains) + len(chains.done) == 1
