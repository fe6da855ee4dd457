"""What the launcher has to say reaches the agent, in order, also when there was no room for it at first."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import msgspec
import pytest

from judgement.seals import plain_seal
from saksi.doors.launch import running as running_module
from saksi.doors.launch.running import Forked, RunningAgent
from saksi.edges.clock import SystemClock
from saksi.processes.agent.control import (
    Closed,
    JobExited,
    JobStarted,
    SignalSeen,
    receive_from_launcher,
    send,
)

STARTED = JobStarted(pid=7, wall_ns=1, mono_ns=1)
EXITED = JobExited(code=0, signal=None, elapsed_ns=1)
SEEN = SignalSeen(signal="SIGUSR1", forwarded=True, sender=None)


class Setup(msgspec.Struct, frozen=True):
    """What the launcher itself asks of an agent's setup."""

    folder: Path
    run: str = "0" * 16
    attempt: int = 0
    last_head: None = None
    takes_over: object = None
    notes: tuple[str, ...] = ()


@pytest.fixture
def pair():
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    theirs.setblocking(False)
    with ours, theirs:
        yield ours, theirs


@pytest.fixture
def running(pair, tmp_path):
    setup = Setup(folder=tmp_path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    agent = Forked(pid=os.getpid(), control=pair[0])
    with listener:
        yield RunningAgent(
            setup,
            agent,
            sealed=plain_seal(),
            clock=SystemClock(),
            listener=listener,
            added={},
            scratch=tmp_path / "scratch",
        )


def fill(running):
    """Tell of signals until the socket has no room; how many there were."""
    told = 0
    while not running._unheard:
        running.tell(SEEN)
        told += 1
    return told


def heard(theirs):
    messages = []
    while (message := receive_from_launcher(theirs)) is not None:
        messages.append(message)
    return messages


def test_what_found_no_room_is_said_while_the_command_runs(running, pair):
    running.tell(STARTED)
    told = fill(running)
    first = heard(pair[1])
    assert first[0] == STARTED
    assert len(first) == told
    running.tend()
    assert heard(pair[1]) == [SEEN]


def test_the_end_is_told_after_what_found_no_room_before_it(running, pair, monkeypatch):
    monkeypatch.setattr(running_module, "CLOSE_S", 20.0)
    running.tell(STARTED)
    told = fill(running)
    running.tell(EXITED)
    assert len(heard(pair[1])) == told
    send(pair[1], Closed(sentence="done"))
    assert running.close() == "done"
    assert heard(pair[1]) == [SEEN, EXITED]


def test_a_start_that_found_no_room_is_still_the_first_word_and_said_once(running, pair):
    while send(pair[0], SEEN):
        pass
    running.tell(STARTED)
    running.tell(SEEN)
    heard(pair[1])
    running.tend()
    running.tend()
    assert heard(pair[1]) == [STARTED, SEEN]


def test_how_the_job_ended_is_said_to_the_next_agent_too_when_the_one_that_took_it_dies(running, monkeypatch):
    ends = []

    def start(setup, *, theirs, **_):
        ends.append(theirs.dup())
        ends[-1].setblocking(False)
        return os.getpid()

    monkeypatch.setattr(running_module, "start_embedded", start)
    running.tell(STARTED)
    running.tell(EXITED)  # an agent that is being killed has room for it, and never reads it
    assert running.reaped(os.getpid(), 9)
    running.tend()
    (next_one,) = ends
    with next_one:
        assert heard(next_one) == [STARTED, EXITED]
        running.tend()
        assert heard(next_one) == []
        monkeypatch.setattr(running_module, "CLOSE_S", 0.0)
        assert running.close() is None
