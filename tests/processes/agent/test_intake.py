"""The door: when nobody can be let in, the agent waits instead of spinning."""

from __future__ import annotations

import errno
import os
import resource
import selectors
import socket

import pytest

from saksi.processes.agent import intake as intake_module
from saksi.processes.agent.intake import Intake
from saksi.words.records import RefusedRecord

SECOND = 1_000_000_000


class Clock:
    boot = "boot"
    now = 0

    def wall_ns(self):
        return self.now

    def mono_ns(self):
        return self.now


class Written(list):
    def stamp(self):
        return {"run": "0" * 16, "attempt": 0, "wall_ns": 0, "mono_ns": 0, "boot": ""}

    def write(self, record):
        self.append(record)


class Exhausted(socket.socket):
    error = errno.EMFILE

    def accept(self):
        if self.error:
            raise OSError(self.error, os.strerror(self.error))
        return super().accept()


@pytest.fixture
def door(tmp_path):
    listener = Exhausted(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind(str(tmp_path / "socket"))
    listener.listen(64)
    with selectors.DefaultSelector() as selector:
        intake = Intake(
            listener, token="t", account=os.getuid(), clock=Clock(), scribe=Written(), selector=selector,
            heard=lambda connection, frame: None,
        )  # fmt: skip
        yield intake
        if listener.fileno() >= 0:
            intake.close()


def peer(door):
    connected = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    connected.connect(door._listener.getsockname())
    return connected


@pytest.mark.parametrize("error", [errno.EMFILE, errno.ENFILE, errno.ENOMEM])
def test_without_files_the_door_is_closed_for_a_second(door, error):
    door._listener.error = error
    with peer(door):
        assert door._selector.select(0)
        door.accept()
        assert not door._selector.select(0)
        door.flush()
        assert not door._selector.select(0)
        door._clock.now += SECOND
        door._listener.error = 0
        door.flush()
        assert door._selector.select(0)
        door.accept()
        assert door.open_connections == 1


def test_a_door_that_is_closed_for_a_second_can_be_closed_for_good(door):
    with peer(door):
        door.accept()
        door.close()
    assert door._listener.fileno() < 0
    assert not door._selector.get_map()


def test_a_peer_that_spoke_while_the_agent_was_busy_is_not_taken_for_silent(door):
    door._listener.error = 0
    with peer(door) as connected:
        door.accept()
        connected.send(b"saksi-knock/v1 t")
        door._clock.now += 100 * SECOND
        door.flush()
        assert [type(each) for each in door._scribe] == [RefusedRecord]  # a knock is no hello
        assert door.open_connections == 0


def test_an_error_in_what_one_peer_sent_ends_that_connection_only(door, monkeypatch):
    def fail(self, packet, received_ns):
        raise RuntimeError("a defect")

    door._listener.error = 0
    with peer(door) as bad, peer(door):
        door.accept()
        monkeypatch.setattr("saksi.processes.agent.connection.Connection.accept", fail)
        bad.send(b"x")
        for key, _ in door._selector.select(0):
            key.data()
        assert door.open_connections == 1
        (refused,) = door._scribe
        assert "RuntimeError" in refused.reason


def test_refusals_of_peers_that_never_attach_are_bounded_in_number(door):
    door._listener.error = 0
    for _ in range(300):
        with peer(door) as stranger:
            stranger.send(b"saksi-knock/v1 wrong")
            for _ in range(2):
                for key, _ in door._selector.select(0):
                    key.data()
    door.close()
    assert len(door._scribe) == intake_module.MAX_REFUSALS + 1
    assert sum(each.count for each in door._scribe) == 300
    assert {each.connection for each in door._scribe} == {None}


def test_a_peer_whose_account_cannot_be_known_is_refused_and_written_down(door, monkeypatch):
    def unknown(connected):
        raise OSError(errno.EPERM, "the kernel does not say")

    door._listener.error = 0
    monkeypatch.setattr(intake_module, "peer_of", unknown)
    with peer(door) as connected:
        door.accept()
        connected.settimeout(5)
        assert connected.recv(1) == b""
    (refused,) = door._scribe
    assert refused.peer is None
    assert "cannot be known" in refused.reason


def test_files_that_are_open_elsewhere_in_the_agent_count_too(door):
    """Another attempt's peers hold them: the reserve is the process's."""
    door._listener.error = 0
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    elsewhere = [os.open(os.devnull, os.O_RDONLY) for _ in range(60)]
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(elsewhere) + 10, hard))
        with peer(door):
            door.accept()
            assert door.open_connections == 0
            assert "files" in door._scribe[0].reason
        for each in elsewhere:
            os.close(each)
        elsewhere.clear()
        with peer(door):
            door.accept()
            assert door.open_connections == 1
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for each in elsewhere:
            os.close(each)
