"""How far a process came is said when everything it had sent was read, also if its end is known before."""

from __future__ import annotations

import json
import os
import selectors
import socket
import subprocess
import sys

import pytest

from saksi.processes.agent.connection import Connection
from saksi.processes.agent.outside import TOLD_NS, Outside
from saksi.words.records import ProcessRecord
from simulated_run import hello_fields, update_fields


class Clock:
    now = 0

    def mono_ns(self):
        return self.now


class Scribe:
    def __init__(self):
        self.written = []

    def stamp(self):
        return {"run": "0" * 16, "attempt": 0, "wall_ns": 0, "mono_ns": 0, "boot": ""}

    def write(self, record):
        self.written.append(record)


class Watched:
    """A real child that waits, and a connection that says it is the child's."""

    def __init__(self, selector):
        self.clock, self.scribe = Clock(), Scribe()
        self.child = subprocess.Popen([sys.executable, "-c", "input(); raise SystemExit(7)"], stdin=subprocess.PIPE)
        self.outside = Outside(os.getpid(), clock=self.clock, scribe=self.scribe, selector=selector, redact=list)
        self.recorder, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        theirs.setblocking(False)
        self.connection = Connection(0, theirs, token="t", account=os.getuid(), now_ns=0)
        self.connection.peer = self.connection.peer.__class__(pid=self.child.pid, uid=os.getuid(), gid=os.getgid())
        self.seq = 0
        self.recorder.send(b"saksi-knock/v1 t")
        self.say("hello", **hello_fields(pid=self.child.pid, rank=0, world_size=1))

    def say(self, kind, **fields):
        head = {"kind": kind, "seq": self.seq, "prev": "0" * 64, "wall_ns": 1, "mono_ns": 1, "lost": 0}
        self.recorder.send(json.dumps({**head, **fields}).encode())
        self.seq += 1

    def read(self):
        for packet in self.connection.packets():
            if packet is None:
                self.connection.socket.close()
                return
            frame = self.connection.accept(packet, 0)
            if frame is not None:
                self.outside.heard(self.connection, frame)

    def end(self):
        self.child.communicate(b"\n", timeout=30)

    def ended(self):
        return [each for each in self.scribe.written if isinstance(each, ProcessRecord) and each.event == "ended"]


@pytest.fixture
def watched():
    with selectors.DefaultSelector() as selector:
        made = Watched(selector)
        yield made
        made.child.kill()
        made.child.wait()
        made.outside.let_go()
        made.recorder.close()
        made.connection.socket.close()


def test_an_end_waits_for_what_the_process_had_sent_before_it(watched):
    watched.read()
    watched.outside.look()
    for step in range(3):
        watched.say("update", **update_fields(step))
    watched.recorder.close()
    watched.end()
    watched.outside.told(watched.child.pid, 7 << 8)
    watched.outside.look()
    assert watched.ended() == []
    watched.read()
    watched.outside.look()
    (ended,) = watched.ended()
    assert (ended.code, ended.last_step) == (7, 2)


def test_an_end_does_not_wait_for_a_connection_that_somebody_else_keeps_open(watched):
    watched.read()
    watched.outside.look()
    watched.end()
    watched.outside.told(watched.child.pid, 7 << 8)
    watched.outside.look()
    assert watched.ended() == []
    watched.clock.now += TOLD_NS
    watched.outside.look()
    assert [each.code for each in watched.ended()] == [7]


def test_what_the_launcher_said_before_an_end_is_heard_before_the_end_is_written(watched):
    watched.read()
    watched.outside.look()
    watched.recorder.close()
    watched.read()
    watched.end()

    def hear_out():
        watched.scribe.write("the signal")
        watched.outside.told(watched.child.pid, 7 << 8)

    watched.outside.look(hear_out)
    (ended,) = watched.ended()
    assert watched.scribe.written[-2:] == ["the signal", ended]


def test_an_end_by_a_signal_that_may_have_reached_the_launcher_too_waits_for_it_to_say_so(watched):
    watched.read()
    watched.outside.look()
    watched.recorder.close()
    watched.read()
    watched.child.terminate()
    watched.child.communicate(timeout=30)
    watched.outside.told(watched.child.pid, 15)
    watched.outside.look()
    assert watched.ended() == []
    watched.clock.now += TOLD_NS
    watched.outside.look()
    assert [each.signal for each in watched.ended()] == [15]
