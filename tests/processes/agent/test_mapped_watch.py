"""When the agent looks, how often, and what it says of looks that never came about."""

from __future__ import annotations

import os
import threading

import pytest

from saksi.edges.environment.object_places import Surroundings
from saksi.edges.host.mapped import Raw
from saksi.processes.agent import imports, mapped_watch
from saksi.processes.agent.imports import Imports
from saksi.processes.agent.mapped_files import HIDDEN
from saksi.processes.agent.mapped_watch import BUSY, CLOSED, GONE, MAX_AT_ONCE, MappedWatch
from saksi.words.frames import CkptFrame, DetachFrame, EnvironmentFrame

SECOND = 1_000_000_000
HEAD = {"seq": 0, "prev": "0" * 64, "wall_ns": 1, "mono_ns": 1, "lost": 0}


class Clock:
    def __init__(self):
        self.now = 10 * SECOND

    def mono_ns(self):
        self.now += 1_000_000
        return self.now


class Scribe:
    def __init__(self):
        self.records = []

    def stamp(self):
        return {"run": "00112233445566ff", "attempt": 0, "wall_ns": 1, "mono_ns": 1, "boot": "b"}

    def write(self, record):
        self.records.append(record)


class Peer:
    def __init__(self, pid):
        self.pid = pid


class Connection:
    rank, last_step, trained = 0, 0, True

    def __init__(self, number=0, pid=None):
        self.number = number
        self.peer = Peer(os.getpid() if pid is None else pid)
        self.is_open = True


class Watch:
    """A watch whose first look is due at once, with a clock, and what it has written."""

    def __init__(self, monkeypatch, sealed=lambda: None):
        self.clock, self.scribe = Clock(), Scribe()
        self.read = []
        self.watch = MappedWatch(
            clock=self.clock, scribe=self.scribe, wake=lambda: None, around=Surroundings(), sealed_files=sealed,
            draw=bytes, redaction_key=None,
        )  # fmt: skip
        monkeypatch.setattr(mapped_watch, "read_raw", self._read)

    def _read(self, pid):
        self.read.append(pid)
        return Raw(b"", b"LD_PRELOAD=/x.so\0", same_root=True)

    def reasons(self):
        return [each.reason for each in self.scribe.records]


@pytest.fixture
def watch(monkeypatch):
    return Watch(monkeypatch)


def ckpt(action):
    return CkptFrame(
        action=action, path=None, digest=None, size=None, device=None, inode=None, mtime_ns=None, step=0, **HEAD
    )


def detach():
    return DetachFrame(updates=[1], frames=1, self_ns=1, exception=None, **HEAD)


def test_a_process_that_only_loads_a_checkpoint_is_not_looked_at_and_one_that_saves_is(watch):
    connection = Connection()
    connection.trained = False
    watch.watch.heard(connection, ckpt("loaded"))
    watch.watch.look()
    assert watch.read == []
    watch.watch.heard(connection, ckpt("saved"))
    assert watch.read == [connection.peer.pid]
    watch.watch.finish()


def test_a_process_that_is_gone_at_its_first_look_or_before_leaves_a_reason_once(watch, monkeypatch):
    monkeypatch.setattr(mapped_watch, "read_raw", lambda _: "gone")
    said, silent = Connection(1, 11), Connection(2, 12)
    for each in (said, silent):
        watch.watch.heard(each, object())
    watch.watch.heard(said, detach())
    silent.is_open = False
    watch.watch.look()
    watch.watch.finish()
    assert [(each.connection, each.reason) for each in watch.scribe.records] == [(1, GONE), (2, GONE)]


def test_looks_that_wait_as_the_attempt_closes_and_those_that_were_never_due_leave_a_reason(monkeypatch):
    monkeypatch.setattr(mapped_watch, "LAST_NS", 1)
    holds = threading.Event()

    def sealed():
        holds.wait(20)

    watch = Watch(monkeypatch, sealed)
    looked, never = Connection(1, 11), Connection(2, 12)
    watch.watch.heard(looked, ckpt("saved"))
    watch.watch._at_once = MAX_AT_ONCE
    watch.watch.heard(never, object())
    watch.watch.finish()
    holds.set()
    watch.watch.write()
    assert [(each.connection, each.reason) for each in watch.scribe.records] == [(1, CLOSED), (2, CLOSED)]


def test_a_look_that_finds_the_queue_full_leaves_a_reason_and_the_next_is_the_first_again(watch, monkeypatch):
    connection = Connection()
    with monkeypatch.context() as full:
        full.setattr(watch.watch._files, "give", lambda _: False)
        watch.watch.heard(connection, ckpt("saved"))
    assert watch.reasons() == [BUSY]
    watch.clock.now += 2 * SECOND
    watch.watch.heard(connection, ckpt("saved"))
    watch.watch.finish()
    assert watch.scribe.records[1].variables == {"LD_PRELOAD": "/x.so"}


def test_a_later_look_that_finds_the_queue_full_leaves_a_reason_too(watch, monkeypatch):
    connection = Connection()
    watch.watch.heard(connection, ckpt("saved"))
    monkeypatch.setattr(watch.watch._files, "give", lambda _: False)
    watch.watch.heard(connection, detach())
    watch.watch.finish()
    assert sorted(filter(None, watch.reasons())) == [BUSY]


def test_processes_of_another_pid_namespace_are_not_taken_for_one(watch):
    for number in range(3):
        connection = Connection(number, 0)
        watch.watch.heard(connection, object())
        watch.watch.heard(connection, detach())
    watch.watch.finish()
    assert watch.reasons() == [HIDDEN]


def test_a_process_is_looked_at_once_a_second_however_many_connections_it_has(watch):
    for number in range(20):
        watch.watch.heard(Connection(number), ckpt("saved"))
    watch.watch.look()
    assert len(watch.read) == 1
    watch.clock.now += 2 * SECOND
    watch.watch.look()
    assert len(watch.read) == 2
    watch.watch.finish()


def test_a_process_is_looked_at_as_its_first_update_is_heard_and_again_at_a_moment_that_is_drawn(watch):
    watch.watch.heard(Connection(), object())
    assert len(watch.read) == 1
    watch.watch.look()
    assert len(watch.read) == 1
    watch.clock.now += 2 * SECOND
    watch.watch.look()
    assert len(watch.read) == 2
    watch.watch.finish()


def test_a_turn_of_the_loop_takes_a_few_looks_and_the_next_the_rest(watch):
    for number in range(2 * MAX_AT_ONCE):
        watch.watch.heard(Connection(number, 1_000 + number), object())
    assert len(watch.read) == MAX_AT_ONCE
    watch.watch.look()
    assert len(set(watch.read)) == 2 * MAX_AT_ONCE
    watch.watch.finish()


def test_processes_beyond_those_that_are_looked_at_say_so_once(watch, monkeypatch):
    monkeypatch.setattr(mapped_watch, "MAX_FOLLOWED", 1)
    looked_at, other = Connection(0), Connection(1)
    for connection in (looked_at, other, other):
        watch.watch.heard(connection, ckpt("saved"))
    assert len(watch.read) == 1
    assert [(each.connection, each.reason) for each in watch.scribe.records] == [(1, mapped_watch.MANY)]
    watch.watch.finish()


def claim(modules):
    return EnvironmentFrame(part=0, parts=1, modules=modules, **HEAD)


def claims(**known):
    scribe = Scribe()
    found = Imports(
        scribe=scribe, wake=lambda: None, around=Surroundings(), sealed_files=known.pop("sealed", lambda: None), **known
    )
    return found, scribe


def test_imports_that_were_not_looked_up_say_why(monkeypatch):
    monkeypatch.setattr(imports, "LAST_S", 0.05)
    monkeypatch.setattr(imports, "MAX_WAITING", 1)
    begun, holds = threading.Event(), threading.Event()

    def sealed():
        begun.set()
        holds.wait(20)

    found, scribe = claims(sealed=sealed)
    found.heard(Connection(0), claim([("own", "/own.py")]))
    assert begun.wait(20)
    for number in (1, 2):
        found.heard(Connection(number), claim([("own", "/own.py")]))
    found.finish()
    holds.set()
    found.write()
    said = [(each.connection, each.reason, each.shadowed) for each in scribe.records]
    assert said == [(2, imports.BUSY, []), (0, imports.CLOSED, []), (1, imports.CLOSED, [])]
    found._thread.join(20)
    assert not found._thread.is_alive()  # though the queue was full as it was closed


def test_a_claim_that_fails_is_too_long_or_breaks_off_says_so(monkeypatch):
    monkeypatch.setattr(imports, "MAX_MODULES", 1)
    found, scribe = claims()
    found.heard(Connection(0), claim([("a", "/a.py"), ("b", "/b.py")]))
    found.finish()
    assert [(each.total, each.reason) for each in scribe.records] == [(1, imports.CUT)]

    found, scribe = claims()
    found.heard(Connection(0), EnvironmentFrame(part=0, parts=2, modules=[("a", "/a.py")], **HEAD))
    found.finish()
    assert [each.reason for each in scribe.records] == [imports.BROKEN_OFF]

    def fails():
        raise RuntimeError

    found, scribe = claims(sealed=fails)
    found.heard(Connection(0), claim([("a", "/a.py")]))
    found.finish()
    assert [each.reason for each in scribe.records] == ["the agent failed: RuntimeError"]
