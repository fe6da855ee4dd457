"""Evasions by a recorder that is cut off after its hello and a process that goes on. Found in review, finding D13."""

from __future__ import annotations

import pytest

from saksi.judgement.verdict import judge
from simulated_run import SimulatedRun, honest_run, train


def items(simulated: SimulatedRun, **how):
    return judge(simulated.items(), run=simulated.run, **how).report


def silent(simulated: SimulatedRun):
    """The findings about ends without a goodbye, and whether coverage is complete."""
    report = items(simulated)
    found = [each for each in report.items if each.code == "coverage.rank_ended_silently"]
    return found, report.coverage.complete


@pytest.mark.parametrize("recorded", [True, False])
def test_a_process_that_falls_silent_before_its_first_update_is_found(recorded):
    simulated = honest_run()
    connection = simulated.attach(pid=4100)
    connection.vanish() if recorded else connection.flush()
    (found,), complete = silent(simulated)
    assert (found.severity, found.first_step, complete) == ("info", None, False)


def test_it_is_not_held_against_a_process_that_is_still_there():
    simulated = SimulatedRun()
    simulated.attach().flush()
    assert items(simulated, live=True).items == ()


def test_a_second_process_of_a_pid_does_not_stand_for_the_first():
    simulated = SimulatedRun()
    simulated.attach(pid=4100).vanish()
    other = simulated.attach(pid=4100, fingerprint_key="ab" * 32)
    other.update()
    other.goodbye()
    simulated.exit()
    (found,), complete = silent(simulated)
    assert (found.severity, complete) == ("info", False)


def test_a_claim_to_be_forked_does_not_count_against_what_was_observed():
    simulated = honest_run()
    simulated.process(pid=4100, attached=True, forked=False)
    simulated.attach(pid=4100, forked=True).vanish()
    found, complete = silent(simulated)
    assert (len(found), complete) == (1, False)


def test_a_child_of_a_launcher_that_does_not_train_itself_is_held_to_its_goodbye():
    simulated = SimulatedRun()
    launcher = simulated.attach(pid=100)
    rank, quiet = simulated.attach(pid=4100, ppid=100), simulated.attach(pid=4101, ppid=100)
    rank.update()
    quiet.vanish()
    rank.goodbye()
    launcher.goodbye()
    simulated.exit()
    assert len(silent(simulated)[0]) == 1


def test_a_process_that_is_its_own_ancestor_is_no_worker():
    simulated = honest_run()
    simulated.attach(pid=4100, ppid=4101).vanish()
    simulated.attach(pid=4101, ppid=4100).vanish()
    assert len(silent(simulated)[0][0].evidence) == 2


# -- and nobody else is accused


@pytest.mark.parametrize("observed", [True, False])
def test_a_forked_child_that_made_no_update_is_not_found(observed):
    simulated = honest_run()
    if observed:
        simulated.process(pid=4100, ppid=4000, attached=True, forked=True)
    simulated.attach(pid=4100, ppid=4000, forked=True).vanish()
    assert silent(simulated) == ([], True)


def test_a_spawned_worker_that_its_loader_killed_is_not_found():
    simulated = SimulatedRun()
    worker = simulated.attach(pid=4100, ppid=4000)
    train(simulated)
    worker.vanish()
    simulated.exit()
    assert silent(simulated) == ([], True)


def test_a_worker_of_a_fork_server_is_not_found():
    simulated = SimulatedRun()
    worker = simulated.attach(pid=4100, ppid=4050)
    simulated.process(pid=4050, ppid=4000, torch=False)
    train(simulated)
    worker.vanish()
    simulated.exit()
    assert silent(simulated) == ([], True)


def test_a_worker_that_makes_updates_is_a_rank_that_ended():
    simulated = SimulatedRun()
    worker = simulated.attach(pid=4100, ppid=4000, forked=True)
    worker.update()
    train(simulated)
    worker.vanish()
    simulated.exit()
    (found,), _ = silent(simulated)
    assert found.severity == "warning"
