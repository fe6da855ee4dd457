"""A connection that was closed inside a process that goes on, beside all the honest ends of one."""

from __future__ import annotations

import pytest

from saksi.judgement.checks.judging import Judging
from saksi.judgement.checks.reconnections import RECONNECTIONS
from saksi.judgement.items import item_of
from saksi.words.codec import decode_record
from saksi.words.records import AGENT_FAILED, GapRecord, RefusedRecord
from simulated_run import T0, SimulatedRun


def said(simulated):
    """Findings at the end, and how often there was news of them."""
    judging, news = Judging([RECONNECTIONS]), []
    for index, entry in enumerate(simulated.entries):
        news += judging.take(item_of(index, decode_record(entry), simulated.blob))
    found = judging.findings(ended=True)
    return [(each.code, each.severity, each.first_step, each.last_step, each.ranks) for each in found], len(news)


def trained(simulated, steps=3, **how):
    connection = simulated.attach(**how)
    for _ in range(steps):
        connection.update()
    return connection


def ended(simulated, connection):
    connection.update()
    connection.goodbye()
    simulated.exit()
    return said(simulated)


@pytest.mark.parametrize("late", [False, True])
def test_a_connection_that_was_closed_as_training_went_on_is_told_with_its_step(late):
    simulated = SimulatedRun()
    first = trained(simulated)
    first.flush()
    if late:  # the agent hears of the end behind the next hello
        second = simulated.reattach(first)
        second.flush()
        first.vanish()
    else:
        first.vanish()
        second = simulated.reattach(first)
    assert ended(simulated, second) == ([("witness.connection_closed", "warning", 3, 3, (0,))], 1)


def test_one_that_was_closed_before_the_first_update_is_told_for_information():
    simulated = SimulatedRun()
    first = trained(simulated, steps=0)
    first.vanish()
    assert ended(simulated, simulated.reattach(first)) == (
        [("witness.connection_closed", "info", None, None, (0,))],
        1,
    )


def test_one_that_is_closed_again_and_again_is_one_finding_from_the_first_time_to_the_last():
    simulated = SimulatedRun()
    connection = trained(simulated)
    for _ in range(4):
        connection.vanish()
        connection = simulated.reattach(connection)
        connection.update()
    assert ended(simulated, connection)[0] == [("witness.connection_closed", "warning", 3, 6, (0,))]


def test_a_rank_that_became_known_before_the_first_update_is_no_such_end():
    simulated = SimulatedRun()
    first = trained(simulated, steps=0)
    first.vanish()
    assert ended(simulated, simulated.reattach(first, rank=1, world_size=2)) == ([], 0)


def test_a_rank_that_is_another_once_it_trained_is_no_excuse():
    simulated = SimulatedRun()
    first = trained(simulated)
    first.vanish()
    assert ended(simulated, simulated.reattach(first, rank=1, world_size=2))[1] == 1


def test_another_recorder_in_the_same_process_is_none_either():
    """A process that executes another program keeps its number, and its recorder begins anew."""
    simulated = SimulatedRun()
    first = trained(simulated)
    first.vanish()
    assert ended(simulated, trained(simulated, fingerprint_key="ab" * 32)) == ([], 0)


def test_a_process_that_said_goodbye_may_come_back():
    simulated = SimulatedRun()
    first = trained(simulated)
    first.goodbye()
    assert ended(simulated, simulated.reattach(first)) == ([], 0)


@pytest.mark.parametrize(("reason", "told"), [(f"{AGENT_FAILED}: KeyError", 0), ("not a frame", 1)])
def test_what_the_agent_closed_for_a_fault_of_its_own_is_told_as_that(reason, told):
    simulated = SimulatedRun()
    first = trained(simulated)
    first.flush()
    refusal = {"connection": first.number, "peer": None, "rank": 0, "reason": reason, "sample": "", "count": 1}
    simulated.add(RefusedRecord(**simulated.stamp(), **refusal))
    first.vanish()
    assert ended(simulated, simulated.reattach(first))[1] == told


def test_an_agent_that_was_started_again_closed_them_all():
    simulated = SimulatedRun()
    first = trained(simulated)
    first.flush()
    simulated.admit()
    simulated.add(GapRecord(**simulated.stamp(), reason="the agent was started again", since_wall_ns=T0))
    simulated.detach(first, clean=False)  # said late
    assert ended(simulated, simulated.reattach(first)) == ([], 0)


def test_a_gap_of_another_kind_is_no_excuse():
    simulated = SimulatedRun()
    first = trained(simulated)
    first.flush()
    simulated.add(GapRecord(**simulated.stamp(), reason="the disk was full for a while", since_wall_ns=T0))
    first.vanish()
    assert ended(simulated, simulated.reattach(first))[1] == 1


def test_a_connection_that_breaks_and_is_not_opened_anew_says_nothing_here():
    simulated = SimulatedRun()
    trained(simulated).vanish()
    simulated.exit()
    assert said(simulated) == ([], 0)
