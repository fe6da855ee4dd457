"""Whoever asks the agent as a service for something cannot hold up the others."""

from __future__ import annotations

import contextlib
import itertools
import socket
import threading

import pytest

from saksi.edges.agent_settings import AgentSettings
from saksi.edges.clock import SystemClock
from saksi.edges.home import Home
from saksi.processes.agent import node_bundle, node_door
from saksi.processes.agent.node_door import NodeDoor
from saksi.processes.agent.node_messages import Fetch, Refused, hear_answer, receive_content, say
from saksi.processes.agent.node_plan import NodeHome
from saksi.processes.agent.quota import Quota
from saksi.words.errors import StoreError
from saksi.words.records import Peer

LARGE = b"x" * 4_000_000
"""More than a socket takes in without a reader."""


@pytest.fixture
def place(tmp_path):
    return NodeHome(home=Home(tmp_path / "home"), environment={}, clock=SystemClock(), anchors=(), quota=Quota(None))


@pytest.fixture
def door(place, tmp_path, monkeypatch):
    accounts = itertools.count(1_000)
    monkeypatch.setattr(node_door, "peer_of", lambda connected: Peer(pid=1, uid=next(accounts), gid=0))
    monkeypatch.setattr(node_door, "bundle_of", lambda place, account, run: LARGE)
    return NodeDoor(place, AgentSettings(), sockets=tmp_path, admitted=lambda served: None)


def asks(door, run="last"):
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.settimeout(10)
    say(ours, Fetch(version=1, run=run))
    door.hear(theirs)
    return ours


def wait_until_quiet(door):
    for _ in range(200):
        if not door.busy:
            return
        threading.Event().wait(0.05)
    raise AssertionError("somebody is still heard")


def test_one_that_does_not_read_its_bundle_keeps_no_other_account_from_theirs(door):
    with asks(door), asks(door) as reader:
        assert receive_content(reader, most=len(LARGE)) == LARGE


def test_one_that_does_not_read_its_bundle_is_left_at_the_deadline(door, monkeypatch):
    monkeypatch.setattr(node_door, "CONVERSATION_S", 0.5)
    with asks(door):
        wait_until_quiet(door)
    assert door._fetching == set()


def test_bundles_in_memory_are_bounded_one_of_an_account(door, monkeypatch):
    monkeypatch.setattr(node_door, "peer_of", lambda connected: Peer(pid=1, uid=7, gid=0))
    begun = threading.Event()
    monkeypatch.setattr(node_door, "bundle_of", lambda place, account, run: (begun.set(), LARGE)[1])
    with asks(door):
        assert begun.wait(10)
        with asks(door) as second:
            answer = hear_answer(second)
            assert isinstance(answer, Refused)
            assert answer.why == "limit"


def test_a_journal_that_is_too_large_is_refused_before_it_is_read(place, monkeypatch):
    folder = place.home.create_run("00112233445566ff")
    with (folder / "journal").open("wb") as journal:
        journal.truncate(node_bundle.MAX_JOURNAL + 1)
    monkeypatch.setattr(node_bundle, "open_run", lambda folder: pytest.fail("it was read"))
    with pytest.raises(StoreError, match="too large"):
        node_bundle.bundle_of(place, 0, "00112233445566ff")


def test_a_thread_that_cannot_start_takes_up_no_place(door, monkeypatch):
    def refuse(self):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with asks(door) as ours, contextlib.suppress(ConnectionResetError):
        assert ours.recv(1) == b""
    assert not door.busy
