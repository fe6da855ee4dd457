"""Bytes that made a parser fail with an error that is not ours, or that one reader took and another refused.

Source of all of them: tests/fuzz.
"""

from __future__ import annotations

import socket

import pytest

from saksi.judgement.configuration import parse_configuration
from saksi.processes.agent.control import receive_from_agent, receive_from_launcher
from saksi.words.codec import decode_frame
from saksi.words.errors import MalformedInput, UsageError
from simulated_run import SimulatedRun


def update_with(members):
    connection = SimulatedRun().attach()
    raw = connection.frame("update", **connection.next_update())
    return b"{" + members + b"," + raw[1:]


@pytest.mark.parametrize("name", [b"groups", b"gr\\u006fups"])
@pytest.mark.parametrize("layers", [40, 700])
def test_a_member_named_twice_hides_no_depth_that_other_readers_refuse(name, layers):
    member = b'"%b":[{"a":%b}]' % (name, b"[" * layers + b"]" * layers)
    with pytest.raises(MalformedInput):
        decode_frame(update_with(member))


def test_brackets_in_texts_are_not_depth():
    assert decode_frame(update_with(b'"groups":[{"a":"%b\\"%b"}]' % (b"[" * 500, b"{" * 500))).update == 0


@pytest.mark.parametrize("text", ["segment = " + "1" * 5_000, "x = -" + "9" * 5_000])
def test_a_number_too_long_for_python_is_a_usage_error(text):
    with pytest.raises(UsageError, match=r"saksi\.toml: not TOML"):
        parse_configuration(text.encode(), where="saksi.toml")


@pytest.mark.parametrize("receive", [receive_from_agent, receive_from_launcher])
@pytest.mark.parametrize(
    "packet", [b"{", b"\xff", b"[" * 60_000, b'{"type":"other"}', b'{"type":"closed","sentence":"\xff"}']
)
def test_a_control_message_that_is_none_is_malformed_input(receive, packet):
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        ours.send(packet)
        with pytest.raises(MalformedInput, match="control message"):
            receive(theirs)
