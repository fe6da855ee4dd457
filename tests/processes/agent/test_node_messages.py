"""What arrives on the control socket is read strictly: nothing but `MalformedInput` and `OSError` comes of it."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saksi.processes.agent.node_messages import (
    Begin,
    Content,
    Fetch,
    Prepared,
    hear_answer,
    hear_ask,
    receive_content,
    say,
    send_content,
)
from saksi.words.errors import MalformedInput


@pytest.fixture
def pair():
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.settimeout(5)
    theirs.settimeout(5)
    with ours, theirs:
        yield ours, theirs


def test_messages_come_back_as_they_were_said(pair):
    ours, theirs = pair
    for message in (Begin(version=1, resume=None, notes=("x",)), Fetch(version=1, run="last")):
        say(ours, message)
        assert hear_ask(theirs) == message


def test_a_launch_without_a_seal_file_says_nothing_that_an_older_agent_does_not_know(pair):
    ours, theirs = pair
    say(ours, Begin(version=1, resume=None))
    assert json.loads(theirs.recv(1_000)) == {"type": "begin", "version": 1, "resume": None}
    say(ours, Begin(version=1, resume=None, seal_file=True))
    assert hear_ask(theirs).seal_file is True


@pytest.mark.parametrize("size", [0, 1, 30_000, 30_001, 400_000])
def test_a_content_arrives_whole(pair, size):
    ours, theirs = pair
    content = bytes(range(256)) * (size // 256 + 1)
    sender = threading.Thread(target=send_content, args=(ours, content[:size]))
    sender.start()
    assert receive_content(theirs, most=400_000) == content[:size]
    sender.join()


def test_a_content_that_is_not_what_was_announced_is_refused(pair):
    ours, theirs = pair
    said = json.dumps({"type": "content", "size": 4, "digest": "sha256:" + "0" * 64}).encode()
    for parts in ((b"four",), (b"five!",)):
        ours.send(said)
        for part in parts:
            ours.send(part)
        with pytest.raises(MalformedInput):
            receive_content(theirs, most=100)
    ours.send(said)
    with pytest.raises(MalformedInput, match="more than"):
        receive_content(theirs, most=3)


@pytest.mark.parametrize(
    "packet",
    [
        b"{}", b"[]", b"null", b"\xff", b"{" * 5000, b'{"type":"begin"}', b'{"type":"begin","version":1}',
        b'{"type":"begin","version":"1","resume":null}', b'{"type":"begin","version":-1,"resume":null}',
        b'{"type":"begin","version":1,"resume":null,"x":1}', b'{"type":"started","pid":1,"wall_ns":1,"mono_ns":1}',
        b'{"type":"content","size":1,"digest":"sha256:' + b"0" * 64 + b'"}',
        b'{"type":"begin","version":1,"resume":"' + b"x" * 200 + b'"}',
        json.dumps({"type": "begin", "version": 1, "resume": None, "notes": ["x"] * 9}).encode(),
        b" " * 16_385,
    ],
)  # fmt: skip
def test_what_is_no_question_is_refused(pair, packet):
    ours, theirs = pair
    ours.send(packet)
    with pytest.raises(MalformedInput):
        hear_ask(theirs)


@given(st.binary(min_size=1, max_size=400))
def test_any_packet_is_a_message_or_malformed(packet):
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        for hear in (hear_ask, hear_answer):
            ours.send(packet)
            with pytest.raises(MalformedInput):
                hear(theirs)


def test_an_answer_is_no_question_and_a_silent_peer_is_gone(pair):
    ours, theirs = pair
    say(ours, Content(size=0, digest="sha256:" + "0" * 64))
    with pytest.raises(MalformedInput):
        hear_ask(theirs)
    say(ours, Fetch(version=1, run="x"))
    with pytest.raises(MalformedInput):
        hear_answer(theirs)
    say(
        ours,
        Prepared(
            run="0" * 16, attempt=0, socket="/x", token="0" * 64, name=None, project=None, level=None, segment=None
        ),
    )
    assert isinstance(hear_answer(theirs), Prepared)
    ours.close()
    with pytest.raises(ConnectionError):
        hear_ask(theirs)


def test_a_peer_that_drips_its_content_has_one_deadline_for_all_of_it(pair):
    ours, theirs = pair
    say(ours, Content(size=1_000, digest="sha256:" + "0" * 64))
    gone = threading.Event()

    def drip():
        with contextlib.suppress(OSError):
            while not gone.wait(0.05):
                ours.send(b"x")

    dripping = threading.Thread(target=drip)
    dripping.start()
    begun = time.monotonic()
    with pytest.raises(TimeoutError):
        receive_content(theirs, most=1_000, until=begun + 0.5)
    assert time.monotonic() - begun < 5
    gone.set()
    dripping.join()


def test_a_peer_that_sips_its_bundle_has_one_deadline_for_all_of_it(pair):
    ours, theirs = pair
    gone = threading.Event()

    def sip():
        while not gone.wait(0.05):
            theirs.recv(30_000)

    sipping = threading.Thread(target=sip)
    sipping.start()
    with pytest.raises(TimeoutError):
        send_content(ours, b"x" * 10_000_000, until=time.monotonic() + 0.5)
    gone.set()
    sipping.join()
