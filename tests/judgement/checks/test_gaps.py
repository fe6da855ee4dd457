"""A gap tells the first Step that is not in the log, and the last one before somebody was heard again."""

from __future__ import annotations

from saksi.judgement.verdict import judge
from saksi.words.records import GapRecord
from simulated_run import SimulatedRun

REASON = "the agent ended by SIGKILL, and another was started"


def gap(simulated, reason=REASON, since=1):
    simulated.add(GapRecord(reason=reason, since_wall_ns=since, **simulated.stamp()))


def the_gap(simulated):
    report = judge(simulated.items(), run=simulated.run).report
    assert not report.coverage.complete
    (found,) = [each for each in report.items if each.code == "coverage.gap"]
    return found


def update(connection, count):
    for _ in range(count):
        connection.update()


def taken_over(*, before, unheard, after):
    simulated = SimulatedRun()
    first = simulated.attach()
    update(first, before)
    first.flush()
    gap(simulated)
    for _ in range(unheard):
        first.next_update()
    second = simulated.reattach(first, undelivered=unheard)
    update(second, after)
    second.goodbye()
    simulated.exit()
    return simulated


def test_steps_that_nobody_heard_are_those_of_the_gap():
    found = the_gap(taken_over(before=3, unheard=4, after=2))
    assert (found.first_step, found.last_step, found.ranks) == (3, 6, (0,))
    assert "From step 3 on nobody was watching" in found.message


def test_a_gap_in_which_no_step_was_lost_still_names_where_it_was():
    found = the_gap(taken_over(before=3, unheard=0, after=2))
    assert (found.first_step, found.last_step) == (3, 3)


def test_a_process_that_was_first_heard_behind_the_gap_had_begun_in_it():
    simulated = SimulatedRun()
    gap(simulated)
    connection = simulated.attach()
    for _ in range(5):
        connection.next_update()
    update(connection, 2)
    connection.goodbye()
    simulated.exit()
    found = the_gap(simulated)
    assert (found.first_step, found.last_step) == (0, 4)


def test_a_gap_after_which_nobody_is_heard_has_no_last_step():
    simulated = SimulatedRun()
    connection = simulated.attach()
    update(connection, 3)
    connection.flush()
    gap(simulated)
    simulated.exit()
    found = the_gap(simulated)
    assert (found.first_step, found.last_step) == (3, None)


def test_a_note_that_speaks_of_no_time_has_no_steps():
    simulated = SimulatedRun()
    connection = simulated.attach()
    update(connection, 3)
    gap(simulated, "the recorder was switched off", since=None)
    connection.goodbye()
    simulated.exit()
    found = the_gap(simulated)
    assert (found.first_step, found.last_step) == (None, None)


def test_an_attempt_without_an_end_names_the_first_step_that_is_missing():
    simulated = SimulatedRun()
    connection = simulated.attach()
    update(connection, 3)
    connection.flush()
    report = judge(simulated.items(), run=simulated.run).report
    found = [each for each in report.items if each.code == "coverage.no_exit_record"]
    assert [each.first_step for each in found] in ([], [3])
