"""Silence is measured by a rank's own pace, and stops by the state that the kernel shows."""

from __future__ import annotations

from types import SimpleNamespace

from saksi.processes.agent.pace import Pace
from saksi.words.codec import decode_frame
from simulated_run import SimulatedRun

SECOND = 1_000_000_000


def connection(pid=7, rank=3):
    return SimpleNamespace(peer=SimpleNamespace(pid=pid), rank=rank)


def update(step):
    simulated = SimulatedRun()
    attached = simulated.attach()
    for _ in range(step):
        attached.next_update()
    return decode_frame(attached.frame("update", **attached.next_update()))


def ckpt():
    fields = {"action": "saved", "path": "/m.pt", "digest": None, "size": None, "device": None, "inode": None}
    return decode_frame(SimulatedRun().attach().frame("ckpt", **fields, mtime_ns=None, step=4))


def paced(*, every, steps=5):
    pace = Pace()
    for step in range(steps):
        assert list(pace.heard(connection(), update(step), step * every)) == []
    return pace, (steps - 1) * every


def events(changes):
    return [(each.event, each.rank, each.last_step) for each in changes]


def test_a_fast_rank_is_silent_after_half_a_minute_and_heard_again():
    pace, last = paced(every=SECOND)
    assert events(pace.look(last + 29 * SECOND, lambda pid: "S")) == []
    assert events(pace.look(last + 30 * SECOND, lambda pid: "S")) == [("silent", 3, 4)]
    assert events(pace.look(last + 40 * SECOND, lambda pid: "S")) == []
    assert events(pace.heard(connection(), update(5), last + 50 * SECOND)) == [("heard", 3, 4)]


def test_a_slow_rank_may_take_ten_of_its_steps():
    pace, last = paced(every=10 * SECOND)
    assert events(pace.look(last + 99 * SECOND, lambda pid: "S")) == []
    assert events(pace.look(last + 100 * SECOND, lambda pid: "S")) == [("silent", 3, 4)]


def test_a_pause_that_it_came_back_from_is_not_silence_the_next_time():
    pace, last = paced(every=SECOND)
    assert events(pace.look(last + 60 * SECOND, lambda pid: "R")) == [("silent", 3, 4)]
    assert events(pace.heard(connection(), update(5), last + 60 * SECOND)) == [("heard", 3, 4)]
    assert events(pace.look(last + 179 * SECOND, lambda pid: "R")) == []
    assert events(pace.look(last + 180 * SECOND, lambda pid: "R")) == [("silent", 3, 5)]


def test_a_pause_in_one_phase_excuses_none_in_another():
    pace, last = paced(every=SECOND)
    pace.heard(connection(), update(5), last + 100 * SECOND)
    assert list(pace.heard(connection(), ckpt(), last + 101 * SECOND)) == []
    (silent,) = pace.look(last + 131 * SECOND, lambda pid: "D")
    assert (silent.event, silent.after, silent.process_state) == ("silent", "ckpt", "D")


def test_the_time_of_a_stop_is_no_pause():
    pace, last = paced(every=SECOND)
    assert events(pace.look(last + SECOND, lambda pid: "T")) == [("stopped", 3, 4)]
    assert events(pace.look(last + 3600 * SECOND, lambda pid: "S")) == [("continued", 3, 4)]
    assert list(pace.heard(connection(), update(5), last + 3601 * SECOND)) == []
    assert events(pace.look(last + 3631 * SECOND, lambda pid: "S")) == [("silent", 3, 5)]


def test_a_stop_is_told_once_and_is_no_silence():
    pace, last = paced(every=SECOND)
    assert events(pace.look(last + SECOND, lambda pid: "T")) == [("stopped", 3, 4)]
    assert events(pace.look(last + 99 * SECOND, lambda pid: "T")) == []
    assert events(pace.look(last + 99 * SECOND, lambda pid: "S"))[0] == ("continued", 3, 4)


def test_a_process_that_is_gone_is_neither():
    pace, last = paced(every=SECOND)
    assert events(pace.look(last + 99 * SECOND, lambda pid: None)) == []
