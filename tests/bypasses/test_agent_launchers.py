"""Launchers that say what they should not: the record bears it, and the agent holds nothing for it."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from agent_attempt import Attempt
from saksi.processes.agent.control import JobStarted, SignalSeen, Stop, send
from saksi.words.records import ExitRecord, GapRecord, SignalRecord

STARTED = {"type": "started", "pid": 1, "wall_ns": 1, "mono_ns": 1}
EXITED = {"type": "exited", "code": 0, "signal": None, "elapsed_ns": 1}
STOP = {"type": "stop", "reason": "x"}
SIGNAL = {"type": "signal", "signal": "SIGUSR1", "forwarded": True, "sender": None}


def refused(attempt):
    return [each.reason for each in attempt.records(GapRecord) if "cannot be read" in each.reason]


def end(attempt):
    """The connection was closed by the agent; the job ends, and the agent with it."""
    attempt.control.settimeout(20)
    assert attempt.control.recv(1) == b""
    attempt.control.close()
    if attempt.job is not None:
        attempt.job.kill()
        attempt.job.wait()
    os.waitpid(attempt.pid, 0)


@pytest.mark.parametrize(
    "message",
    [
        STARTED | {"wall_ns": -1}, STARTED | {"mono_ns": 2**63}, STARTED | {"pid": 2**31}, STARTED | {"pid": -1},
        STARTED | {"more": 1}, STARTED | {"pid": True}, STOP | {"reason": "x" * 1_025}, EXITED, SIGNAL | {"more": 1},
        SIGNAL | {"signal": "SIG" + "X" * 5_000}, SIGNAL | {"signal": "\n"}, STOP | {"x": " " * 20_000},
    ],
)  # fmt: skip
def test_what_is_out_of_bounds_before_the_job_closes_the_connection_and_the_record_is_whole(tmp_path, message):
    attempt = Attempt(tmp_path)
    attempt.control.send(json.dumps(message).encode())
    end(attempt)
    assert len(refused(attempt)) == 1
    exit_record = attempt.records()[-1]
    assert isinstance(exit_record, ExitRecord)
    assert "before the job started" in exit_record.reason


@pytest.mark.parametrize(
    "message",
    [
        STARTED, STOP, EXITED | {"elapsed_ns": -1}, EXITED | {"code": 256}, EXITED | {"code": None},
        EXITED | {"signal": 9}, {"type": "orphan", "pid": 1, "status": 2**16},
        {"type": "orphan", "pid": 0, "status": 0},
    ],
)  # fmt: skip
def test_what_cannot_follow_the_start_neither_ends_the_watch_nor_is_kept(attempt, message):
    recorder = attempt.recorder()
    recorder.hello()
    recorder.update(0)
    attempt.control.send(json.dumps(message).encode())
    attempt.control.settimeout(20)
    assert attempt.control.recv(1) == b""
    recorder.update(1)
    recorder.detach([2])
    recorder.close()
    end(attempt)
    assert len(refused(attempt)) == 1
    (ended,) = attempt.records(ExitRecord)
    assert (ended.pid, ended.code, ended.signal) == (attempt.job.pid, None, None)


def test_a_start_that_is_told_again_and_again_costs_no_file(tmp_path):
    attempt = Attempt(tmp_path)
    attempt.start_job()
    time.sleep(0.5)
    before = len(list(Path(f"/proc/{attempt.pid}/fd").iterdir()))
    for _ in range(50):
        send(attempt.control, JobStarted(pid=attempt.job.pid, wall_ns=1, mono_ns=1))
    time.sleep(0.5)
    assert len(list(Path(f"/proc/{attempt.pid}/fd").iterdir())) <= before
    attempt.control.close()
    attempt.job.kill()
    attempt.job.wait()
    os.waitpid(attempt.pid, 0)


def test_a_job_that_is_said_to_start_in_the_future_has_an_exit_record(tmp_path):
    attempt = Attempt(tmp_path)
    attempt.control.send(json.dumps(STARTED | {"mono_ns": 2**63 - 1, "pid": 2**31 - 1}).encode())
    attempt.control.close()
    os.waitpid(attempt.pid, 0)
    (ended,) = attempt.records(ExitRecord)
    assert ended.elapsed_ns == 0


def test_signals_without_end_are_counted_and_the_last_of_another_kind_is_written_down(attempt):
    told = 300
    for _ in range(told):
        while not send(attempt.control, SignalSeen(signal="SIGUSR1", forwarded=True, sender=None)):
            time.sleep(0.01)
    while not send(attempt.control, SignalSeen(signal="SIGTERM", forwarded=True, sender=None)):
        time.sleep(0.01)
    attempt.end()
    written = [each.signal for each in attempt.records(SignalRecord)]
    assert written.count("SIGUSR1") == 256
    assert written[-1] == "SIGTERM"
    assert [each.reason for each in attempt.records(GapRecord) if "44 more signals" in each.reason]


def test_a_reason_of_control_characters_fits_the_exit_record(tmp_path):
    attempt = Attempt(tmp_path)
    send(attempt.control, Stop(reason="\x07" * 1_024))
    assert attempt.control.recv(65_536)
    attempt.control.close()
    os.waitpid(attempt.pid, 0)
    assert attempt.records(ExitRecord)[0].reason == "\x07" * 1_024
