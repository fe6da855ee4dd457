"""Where a record was made, as it says itself."""

from __future__ import annotations

import pytest

from doors.cli.cli_home import SealedRun
from saksi.judgement.machines import machine_of
from saksi.judgement.replay.recorded import recorded_of


def step(simulated, rank=0, **hello):
    connection = simulated.attach(rank, **hello)
    connection.update()
    connection.goodbye()


def place(simulated):
    return recorded_of(simulated.items(), 0).place


def test_the_machine_is_that_of_the_attempts_first_seal():
    simulated = SealedRun()
    hardware = simulated.sealed.hardware
    found = place(simulated)
    assert (found.machine, found.cores, found.processors) == (machine_of(hardware), 8, 64)


def test_threads_are_those_that_torch_had_where_steps_were_made():
    simulated = SealedRun()
    simulated.attach(0, threads=1)
    step(simulated, 1, threads=8)
    assert (place(simulated).threads, place(simulated).given) == (8, False)


@pytest.mark.parametrize("second", [{"threads": 2}, {"threads": 8, "forked": True}])
def test_several_numbers_and_what_a_forked_process_says_are_no_number_to_begin_with(second):
    simulated = SealedRun()
    step(simulated, 0, threads=8)
    step(simulated, 1, **second)
    assert place(simulated).threads is None


def test_a_run_that_was_given_its_threads_says_so():
    simulated = SealedRun()
    step(simulated, 0, threads=3, flags={"threads_here": 2})
    assert (place(simulated).threads, place(simulated).given) == (3, True)
