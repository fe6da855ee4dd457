"""The key that ranks draw their samples with, as it is sent to them."""

from __future__ import annotations

import socket

import pytest

from processes.agent.test_challenges import Peer, always
from saksi.processes.agent.sample_key import SampleKey

SAID = b"saksi-samples/v1 " + b"07" * 32


def hello(peer):
    assert peer.connection.hello is not None
    return peer.connection.hello


def test_whoever_says_hello_is_told_the_same_key():
    key, peers = SampleKey(always(0)), [Peer(), Peer()]
    for peer in peers:
        key.heard(peer.connection, hello(peer))
        assert peer.theirs.recv(100) == SAID
        peer.close()


def test_two_attempts_have_two_keys():
    drawn = iter([b"a" * 32, b"b" * 32])
    said = []
    for _ in range(2):
        peer = Peer()
        SampleKey(lambda _: next(drawn)).heard(peer.connection, hello(peer))
        said.append(peer.theirs.recv(100))
        peer.close()
    assert said[0] != said[1]


def test_a_recorder_that_reads_nothing_and_later_frames_are_told_nothing():
    key, quiet, peer = SampleKey(always(0)), Peer(answers=False), Peer()
    key.heard(quiet.connection, hello(quiet))
    key.heard(peer.connection, peer.update())
    assert quiet.asked() is None
    assert peer.asked() is None
    quiet.close()
    peer.close()


def test_a_peer_that_is_gone_costs_nothing():
    peer = Peer()
    peer.theirs.close()
    with pytest.raises(OSError, match=r"Broken pipe|reset"):  # nobody is there to be told
        peer.connection.socket.send(b"x", socket.MSG_NOSIGNAL)
    SampleKey(always(0)).heard(peer.connection, hello(peer))
    peer.connection.socket.close()
