"""What one attempt keeps and hands on while its job runs."""

from __future__ import annotations

import os
import socket
from types import SimpleNamespace

import pytest

from saksi.processes.agent.attempt import AttemptSetup, WatchedAttempt
from saksi.words.frames import EnvironmentFrame
from saksi.words.records import ExitRecord, SignalRecord

SECOND = 1_000_000_000


class Clock:
    boot = "boot"
    now = 0

    def wall_ns(self):
        return self.now

    def mono_ns(self):
        return self.now


class Scribe:
    """A log that takes everything: each commit with something in it makes a head."""

    problem = None

    def __init__(self):
        self.written = []
        self.head = None
        self.fresh = 0

    @property
    def waiting(self):
        return self.fresh

    @property
    def head_note(self):
        return None if self.head is None else b"head %d" % self.head.size

    def stamp(self):
        return {"run": "0" * 16, "attempt": 0, "wall_ns": 0, "mono_ns": 0, "boot": ""}

    def write(self, record, block=None):
        self.written.append(record)
        self.fresh += 1

    def write_findings(self):
        pass

    def commit(self):
        if self.fresh:
            self.head, self.fresh = SimpleNamespace(size=len(self.written)), 0
        return True

    def publish(self):
        return True


class Anchor:
    target = "anchor"

    def __init__(self):
        self.offered = []

    def offer(self, size, note):
        self.offered.append(size)

    def statistics(self):
        return SimpleNamespace(sent=0, failed=0, last_size=None, last_error=None, longest_stretch=0.0)


class Watched:
    """An attempt whose job does not start, with everything around it played by the test."""

    def __init__(self, tmp_path, **given):
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.listener.bind(str(tmp_path / "socket"))
        self.listener.listen(1)
        self.ours, self.theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.clock, self.scribe = Clock(), Scribe()
        setup = AttemptSetup(launcher=os.getpid(), account=os.getuid(), token="t", redact=list, **given)
        self.attempt = WatchedAttempt(
            setup, clock=self.clock, scribe=self.scribe, listener=self.listener, control=self.theirs
        )
        self.attempt.begin()

    def say(self, signal):
        self.scribe.write(SignalRecord(signal=signal, forwarded=False, sender=None, **self.scribe.stamp()))


@pytest.fixture
def watched(tmp_path):
    made = []

    def watch(**given):
        made.append(Watched(tmp_path, **given))
        return made[-1]

    yield watch
    for each in made:
        if each.listener.fileno() >= 0:
            each.attempt.close()
        each.ours.close()
        each.theirs.close()


def test_anchors_are_offered_a_head_now_and_then_and_the_last_one_always(watched):
    anchor = Anchor()
    one = watched(anchors=(anchor,))
    for second in range(25):
        one.clock.now = second * SECOND
        one.say("something")
        one.attempt.tick()
    assert anchor.offered == [1, 11, 21]
    one.attempt.close()
    assert isinstance(one.scribe.written[-1], ExitRecord)
    assert anchor.offered[-1] == len(one.scribe.written)
    assert len(anchor.offered) == 4


def test_a_head_that_was_too_early_for_the_anchors_is_offered_when_it_is_time(watched):
    anchor = Anchor()
    one = watched(anchors=(anchor,))
    for second in range(15):
        one.clock.now = second * SECOND
        if second in (0, 1):
            one.say("something")
        one.attempt.tick()
    assert anchor.offered == [1, 2]


@pytest.mark.parametrize("keeps", [True, False])
def test_source_files_are_gathered_only_where_somebody_compiles_them(watched, keeps, monkeypatch):
    one = watched(keeps_sources=keeps)
    monkeypatch.setattr(one.attempt._outside, "heard", lambda connection, frame: None)
    monkeypatch.setattr(one.attempt._mapped, "heard", lambda connection, frame: None)
    frame = EnvironmentFrame(
        seq=1, prev="0" * 64, wall_ns=0, mono_ns=0, lost=0, part=0, parts=1, modules=[("x", "/x.py")]
    )
    one.attempt._heard(None, frame)
    assert one.attempt.sources == ({"/x.py"} if keeps else set())
