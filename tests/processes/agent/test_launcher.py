"""What a launcher says whose process ids mean something else here."""

from __future__ import annotations

import selectors
import socket

import pytest

from saksi.processes.agent.control import JobExited, JobStarted, OrphanEnded, SignalSeen, send
from saksi.processes.agent.job import Job
from saksi.processes.agent.launcher import Launcher
from saksi.words.records import Peer


class Clock:
    boot = "boot"

    def wall_ns(self):
        return 10

    def mono_ns(self):
        return 10


class Written(list):
    def stamp(self):
        return {"run": "0" * 16, "attempt": 0, "wall_ns": 0, "mono_ns": 0, "boot": ""}

    def write(self, record):
        self.append(record)


class Outside:
    def __init__(self):
        self.followed = []
        self.ends = []

    def follow(self, pid):
        self.followed.append(pid)

    def told(self, pid, status):
        self.ends.append((pid, status))


@pytest.mark.parametrize("shares", [True, False])
def test_ids_of_another_pid_namespace_are_not_taken_for_ours(shares):
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with selectors.DefaultSelector() as selector, ours, theirs:
        job, scribe, outside = Job(clock=Clock(), selector=selector), Written(), Outside()
        launcher = Launcher(
            theirs, selector=selector, scribe=scribe, job=job, outside=outside, shares_pids=shares,
            seen_from_here=lambda started: JobStarted(pid=2**31 - 1, wall_ns=1, mono_ns=1),
        )  # fmt: skip
        launcher.listen()
        for message in (
            JobStarted(pid=7, wall_ns=1, mono_ns=1),
            SignalSeen(signal="SIGTERM", forwarded=True, sender=Peer(pid=8, uid=1000, gid=0)),
            OrphanEnded(pid=9, status=256),
            JobExited(code=3, signal=None, elapsed_ns=1),
        ):
            send(ours, message)
            launcher.hear()
        assert outside.followed == [2**31 - 1]
        assert outside.ends == ([(9, 256)] if shares else []) + [(2**31 - 1, 3 << 8)]
        assert scribe[0].sender == Peer(pid=8 if shares else 0, uid=1000, gid=0)


def test_what_was_said_and_not_heard_yet_is_taken_as_the_attempt_is_closed():
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with selectors.DefaultSelector() as selector, theirs:
        job, scribe = Job(clock=Clock(), selector=selector), Written()
        launcher = Launcher(
            theirs, selector=selector, scribe=scribe, job=job, outside=Outside(), shares_pids=True,
            seen_from_here=lambda started: JobStarted(pid=2**31 - 1, wall_ns=1, mono_ns=1),
        )  # fmt: skip
        launcher.listen()
        send(ours, JobStarted(pid=7, wall_ns=1, mono_ns=1))
        send(ours, JobExited(code=3, signal=None, elapsed_ns=1))
        ours.close()
        launcher.close()
        assert job.exited == JobExited(code=3, signal=None, elapsed_ns=1)
        assert not launcher.is_here
        launcher.close()
