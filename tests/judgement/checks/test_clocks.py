"""The job's clock beside the agent's, judged from records alone."""

from __future__ import annotations

import json

import pytest

from saksi.judgement.checks.clocks import CLOCKS
from saksi.judgement.checks.judging import Judging
from saksi.judgement.items import item_of
from saksi.words.codec import decode_record
from simulated_run import T0, SimulatedRun

S = 1_000_000_000
HOUR = 3_600 * S


class Clocked(SimulatedRun):
    """A run whose host's clock is set, and whose job tells other times than it."""

    def __init__(self):
        self.moved_ns = 0
        super().__init__()

    def stamp(self):
        stamp = super().stamp()
        return stamp | {"wall_ns": stamp["wall_ns"] + self.moved_ns}

    def update(self, connection, *, wall=0, mono=0):
        """An update whose times are off by so much; the host's clock is right as it is made."""
        made = self._clock + 1_000_000  # as the frame counts the time
        times = {"wall_ns": T0 + made + self.moved_ns + wall, "mono_ns": made + mono}
        connection.send("update", **connection.next_update() | times)


def run_of(*offs, monos=None, host=None, flush=3):
    """Updates whose wall clock is off by so many nanoseconds; the host's clock is set before some of them."""
    simulated = Clocked()
    simulated.wait(2 * 3_600)
    connection = simulated.attach()
    for step, off in enumerate(offs):
        simulated.moved_ns += (host or {}).get(step, 0)
        simulated.update(connection, wall=off, mono=(monos or {}).get(step, 0))
        if step % flush == flush - 1:
            connection.flush()
    connection.goodbye()
    simulated.exit()
    return simulated


def said(simulated):
    judging, news = Judging([CLOCKS]), []
    for index, entry in enumerate(simulated.entries):
        news += judging.take(item_of(index, decode_record(entry), simulated.blob))
    found = judging.findings(ended=True)
    return [(each.code, each.severity, each.first_step, each.last_step) for each in found], news, found


RIGHT = (0,) * 10


def test_clocks_that_go_alike_are_nothing_to_speak_of():
    assert said(run_of(*RIGHT))[:2] == ([], [])


@pytest.mark.parametrize(("off", "words"), [(-HOUR, "3,600 seconds behind"), (24 * HOUR, "86,400 seconds ahead of")])
def test_a_clock_that_is_set_in_the_job_alone_is_told_from_its_first_update_on(off, words):
    codes, news, (found,) = said(run_of(*RIGHT, *(off,) * 12))
    assert codes == [("witness.clock_differs", "warning", 10, 21)]
    assert words in found.message
    assert found.alleges == "unknown"
    assert len(news) == 1


def test_a_program_that_shifts_the_time_from_its_first_updates_on_is_told_for_information():
    assert said(run_of(0, 0, *(-HOUR,) * 12))[0] == [("witness.clock_differs", "info", 2, 13)]


def test_a_host_whose_clock_is_set_moves_both():
    assert said(run_of(*RIGHT, *RIGHT, host={7: -HOUR, 13: 30 * S}))[0] == []


def test_frames_that_were_made_before_the_clock_was_set_and_come_later_are_right():
    assert said(run_of(*RIGHT, *RIGHT, host={7: -HOUR}, flush=100))[0] == []


def test_a_library_that_freezes_the_time_for_a_while_is_told_for_information():
    assert said(run_of(*RIGHT, -HOUR, -HOUR, *RIGHT))[0] == [("witness.clock_differs", "info", 10, 11)]


def test_one_stop_between_two_readings_is_told_for_information():
    assert said(run_of(*RIGHT, -HOUR))[0] == [("witness.clock_differs", "info", 10, 10)]


def test_two_seconds_are_nothing_to_speak_of():
    assert said(run_of(*RIGHT, *(S,) * 20))[0] == []


def test_both_clocks_of_the_job_shifted_together_go_back():
    shifted = dict.fromkeys(range(10, 20), -HOUR)
    assert said(run_of(*RIGHT, *(-HOUR,) * 10, monos=shifted))[0] == [("witness.clock_differs", "warning", 10, 19)]


def test_a_process_that_attached_with_a_clock_of_its_own_keeps_it():
    simulated = Clocked()
    connection = simulated.attach()
    first = json.loads(connection.pending[0])
    first["wall_ns"] += HOUR
    connection.pending[0] = json.dumps(first).encode()
    for _ in range(12):
        simulated.update(connection, wall=HOUR)
    connection.goodbye()
    simulated.exit()
    assert said(simulated)[0] == []


def test_another_connection_of_the_process_does_not_make_it_right():
    simulated = Clocked()
    first = simulated.attach()
    for _ in range(10):
        simulated.update(first)
    first.vanish()
    second = simulated.reattach(first)
    hello = json.loads(second.pending[0])
    hello["wall_ns"] -= HOUR
    second.pending[0] = json.dumps(hello).encode()
    for _ in range(10):
        simulated.update(second, wall=-HOUR)
    second.goodbye()
    simulated.exit()
    assert said(simulated)[0] == [("witness.clock_differs", "warning", 10, 19)]
