"""Peers that hold, exhaust or flood the agent's socket."""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import signal
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest

from agent_attempt import Attempt
from saksi.processes.agent.connection import peer_of
from saksi.processes.agent.control import JobStarted, send
from saksi.words.records import AttachRecord, DetachRecord, ExitRecord, Peer, RefusedRecord


def ended(pid, seconds=20.0):
    """Whether the agent ended by itself."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if os.waitpid(pid, os.WNOHANG)[0]:
            return True
        time.sleep(0.05)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return False


def processor_seconds(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def strangers(attempt, count):
    connected = []
    for _ in range(count):
        each = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        each.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            each.connect(str(attempt.socket_path))
        connected.append(each)
    return connected


def test_peers_that_exhaust_the_agents_files_do_not_make_it_spin_or_lose_the_log(tmp_path):
    attempt = Attempt(tmp_path)
    attempt.start_job()
    resource.prlimit(attempt.pid, resource.RLIMIT_NOFILE, (60, 60))
    recorder = attempt.recorder()
    recorder.hello()
    recorder.update(0)
    time.sleep(0.3)
    held = strangers(attempt, 90)
    time.sleep(0.5)
    before = processor_seconds(attempt.pid)
    time.sleep(2)
    assert processor_seconds(attempt.pid) - before < 1
    recorder.update(1)
    recorder.detach([2])
    for each in held:
        each.close()
    assert attempt.end().startswith("2 of 2 steps witnessed")


def test_a_peer_that_never_says_who_it_is_is_closed_and_written_down(tmp_path, monkeypatch):
    monkeypatch.setattr("saksi.processes.agent.intake.GREETING_NS", 500_000_000)
    attempt = Attempt(tmp_path)
    attempt.start_job()
    silent = strangers(attempt, 1)[0]
    knocked = attempt.recorder()
    silent.settimeout(10)
    assert silent.recv(10) == b""
    knocked.socket.settimeout(10)
    assert knocked.socket.recv(10) == b""
    silent.close()
    attempt.end()
    refused = attempt.records(RefusedRecord)
    assert len(refused) == 2
    assert all("hello" in each.reason and each.peer.pid == os.getpid() for each in refused)


def test_a_peer_turned_away_at_the_door_is_written_down_with_the_reason(tmp_path, monkeypatch):
    monkeypatch.setattr("saksi.processes.agent.intake.MAX_CONNECTIONS", 2)
    attempt = Attempt(tmp_path)
    attempt.start_job()
    held = strangers(attempt, 2)
    time.sleep(0.3)
    held += strangers(attempt, 3)
    time.sleep(0.5)
    attempt.end()
    refused = [each for each in attempt.records(RefusedRecord) if "open" in each.reason]
    assert sum(each.count for each in refused) == 3
    assert all(each.connection is None for each in refused)
    for each in held:
        each.close()


def test_a_job_that_attaches_without_end_is_refused_in_the_end(tmp_path, monkeypatch):
    monkeypatch.setattr("saksi.processes.agent.intake.MAX_REMEMBERED", 3)
    attempt = Attempt(tmp_path)
    attempt.start_job()
    for number in range(5):
        with contextlib.suppress(OSError):  # those that are refused may find the socket closed
            attempt.recorder().hello()
        deadline = time.monotonic() + 20
        while len(attempt.records(AttachRecord)) < min(number + 1, 3) and time.monotonic() < deadline:
            time.sleep(0.05)
    attempt.end()
    assert len(attempt.records(AttachRecord)) == 3
    (told, *_) = [each for each in attempt.records(RefusedRecord) if "had attached" in each.reason]
    assert told.connection is None


def test_workers_that_say_goodbye_may_come_without_end(tmp_path, monkeypatch):
    monkeypatch.setattr("saksi.processes.agent.intake.MAX_REMEMBERED", 3)
    attempt = Attempt(tmp_path)
    attempt.start_job()
    for _ in range(8):
        recorder = attempt.recorder()
        recorder.hello()
        recorder.detach([])
        recorder.close()
        time.sleep(0.05)
    attempt.end()
    assert len(attempt.records(AttachRecord)) == 8


def test_what_waits_in_the_socket_as_the_attempt_closes_is_read_to_the_end(tmp_path, monkeypatch):
    monkeypatch.setattr("saksi.processes.agent.attempt.LAST_WORDS_NS", 0)
    attempt = Attempt(tmp_path)
    attempt.start_job()
    recorder = attempt.recorder()
    recorder.hello()
    time.sleep(0.3)
    os.kill(attempt.pid, signal.SIGSTOP)
    recorder.socket.setblocking(False)
    sent = 0
    with contextlib.suppress(BlockingIOError):
        for step in range(1000):
            recorder.update(step)
            sent += 1
    attempt.recorders.clear()
    attempt.job.kill()
    attempt.job.wait()
    os.kill(attempt.pid, signal.SIGCONT)
    attempt.end(kill=False)
    assert sent > 100
    (detach,) = attempt.records(DetachRecord)
    assert detach.last_step == sent - 1
    recorder.close()


class Credentials:
    """A socket whose peer has these credentials, as the kernel lays them out (`struct ucred`)."""

    def __init__(self, uid):
        self.raw = struct.pack("iII", 7, uid, uid)

    def getsockopt(self, level, option, size):
        assert (level, option, size) == (socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        return self.raw


@pytest.mark.parametrize("uid", [0, 1000, 2**31 - 1, 2**31, 2**31 + 5, 2**32 - 2])
def test_an_account_with_a_large_number_is_not_taken_for_root(uid):
    assert peer_of(Credentials(uid)) == Peer(pid=7, uid=uid, gid=uid)


def test_a_peer_whose_account_the_kernel_does_not_name_is_nobody():
    with pytest.raises(OSError, match="which account"):
        peer_of(Credentials(2**32 - 1))


@pytest.mark.parametrize("number", ["ENOSYS", "ESRCH"])
def test_without_a_pidfd_the_agent_still_ends_after_the_job(tmp_path, monkeypatch, number):
    def refused(pid, flags=0):
        raise OSError(getattr(errno, number), os.strerror(getattr(errno, number)))

    monkeypatch.setattr(os, "pidfd_open", refused)
    attempt = Attempt(tmp_path)
    job = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(0.6)"])
    send(attempt.control, JobStarted(pid=job.pid, wall_ns=time.time_ns(), mono_ns=time.monotonic_ns()))
    if number == "ENOSYS":
        attempt.control.close()  # the launcher is gone
    job.wait()
    assert ended(attempt.pid)
    attempt.control.close()
    assert isinstance(attempt.records()[-1], ExitRecord)
