from __future__ import annotations

import contextlib
import json
import os
import socket

import pytest

from agent_attempt import LEAN
from saksi.processes.agent.challenges import FIRST_NS, GIVEN_UP_NS, MAX_UNANSWERED, Challenges
from saksi.processes.agent.connection import KNOCK, Connection
from simulated_run import hello_fields, live_fields, update_fields

TOKEN = "5f" * 32
S = 1_000_000_000


class Peer:
    """A recorder's end and the agent's end of one connection, with the frames numbered for them."""

    def __init__(self, *, answers=True):
        ours, self.theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.theirs.setblocking(False)
        self.connection = Connection(0, ours, token=TOKEN, account=os.getuid(), now_ns=0)
        assert self.connection.accept(KNOCK + TOKEN.encode(), 0) is None
        self.seq = 0
        self.say("hello", **hello_fields(pid=1, rank=0, world_size=1, answers=answers))

    def say(self, kind, **fields):
        head = {"kind": kind, "seq": self.seq, "prev": "0" * 64, "wall_ns": 1, "mono_ns": 1, "lost": 0}
        self.seq += 1
        return self.connection.accept(json.dumps(head | fields).encode(), 0)

    def update(self):
        return self.say("update", **update_fields(0) | LEAN)

    def asked(self):
        try:
            return self.theirs.recv(100)
        except BlockingIOError:
            return None

    def close(self):
        self.theirs.close()
        self.connection.socket.close()


@pytest.fixture
def peer():
    made = Peer()
    yield made
    made.close()


def always(share):
    """A source of chance that draws this share of 2^48, and numbers of as many bytes as are asked for."""
    return lambda count: int(share * 2**48).to_bytes(6, "big") if count == 6 else bytes([7]) * count


def test_the_first_question_comes_within_a_second_of_the_first_update(peer):
    challenges = Challenges(always(0.5))
    challenges.heard(peer.connection, peer.update(), 10 * S)
    assert challenges.ask(10 * S) == []
    assert challenges.ask(10 * S + FIRST_NS // 2) == [(peer.connection, "07" * 16)]
    assert peer.asked() == b"saksi-challenge/v1 " + b"07" * 16


def test_the_next_question_waits_for_the_answer_and_comes_more_rarely_as_training_goes_on(peer):
    challenges = Challenges(always(0.5))  # half of all exponential draws are shorter than 0.69 of the mean
    challenges.heard(peer.connection, peer.update(), 0)
    pauses, now = [], S
    for _ in range(12):
        assert len(challenges.ask(now)) == 1
        assert challenges.ask(now + 50 * S) == []  # it is not answered yet
        challenges.heard(peer.connection, peer.say("live", **live_fields(nonce="07" * 16)), now)
        since = now
        while not (asked := challenges.ask(now)):
            now += S // 10
        assert asked
        challenges.heard(peer.connection, peer.say("live", **live_fields(nonce="07" * 16)), now)
        pauses.append(now - since)
        now += 20 * S
    assert 0.5 * S < pauses[0] < S
    assert 13 * S < pauses[-1] < 14.1 * S
    assert pauses == sorted(pauses)


def test_an_answer_with_another_number_is_none(peer):
    challenges = Challenges(always(0))
    challenges.heard(peer.connection, peer.update(), 0)
    assert challenges.ask(1)
    challenges.heard(peer.connection, peer.say("live", **live_fields(nonce="08" * 16)), 2)
    challenges.heard(peer.connection, peer.say("live", **live_fields(nonce=None)), 2)
    assert challenges.ask(100 * S) == []


def test_a_model_checkpoint_is_an_occasion_to_ask(peer):
    challenges = Challenges(always(0.999))
    challenges.heard(peer.connection, peer.update(), 0)
    saved = {"action": "saved", "step": 3} | dict.fromkeys(("path", "digest", "size", "device", "inode", "mtime_ns"))
    challenges.heard(peer.connection, peer.say("ckpt", **saved | {"action": "loaded"}), 5)
    assert challenges.ask(5) == []
    challenges.heard(peer.connection, peer.say("ckpt", **saved), 5)
    assert len(challenges.ask(5)) == 1


def test_who_never_answers_is_asked_a_few_times_and_then_no_more(peer):
    challenges = Challenges(always(0))
    challenges.heard(peer.connection, peer.update(), 0)
    asked = sum(len(challenges.ask(number * (GIVEN_UP_NS + 1))) for number in range(50))
    assert asked == MAX_UNANSWERED + 1


def test_a_recorder_that_does_not_answer_or_does_not_train_is_not_asked():
    older = Peer(answers=False)
    challenges = Challenges(always(0))
    challenges.heard(older.connection, older.update(), 0)
    assert challenges.ask(S) == []
    assert older.asked() is None
    idle = Peer()
    challenges.heard(idle.connection, idle.say("live", **live_fields()), 0)
    assert challenges.ask(S) == []
    older.close()
    idle.close()


@pytest.mark.parametrize("noticed", [True, False])
def test_a_process_that_connects_anew_with_a_question_open_is_asked_again_at_once(peer, noticed):
    challenges = Challenges(always(0.999))
    challenges.heard(peer.connection, peer.update(), 0)
    assert challenges.ask(S)
    peer.close()
    if noticed:
        assert challenges.ask(S) == []
    again, later = Peer(), Peer()
    challenges.heard(again.connection, again.update(), S)
    assert challenges.ask(S) == [(again.connection, "07" * 16)]
    challenges.heard(later.connection, later.update(), S)  # the debt is paid
    assert challenges.ask(S) == []
    again.close()
    later.close()


def test_a_full_a_broken_and_a_closed_connection_are_no_trouble():
    for ending in ("full", "gone", "closed", "goodbye"):
        peer = Peer()
        challenges = Challenges(always(0))
        challenges.heard(peer.connection, peer.update(), 0)
        if ending == "full":
            peer.connection.socket.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                while True:
                    peer.connection.socket.send(b"x" * 1_000)
        elif ending == "gone":
            peer.theirs.close()
        elif ending == "closed":
            peer.connection.socket.close()
        else:
            said = peer.say("detach", updates=[1], frames=3, self_ns=1, exception=None)
            challenges.heard(peer.connection, said, 1)
        assert challenges.ask(S) == []
        assert challenges.ask(2 * S) == []
        peer.close()


def test_what_a_recorder_said_is_heard_although_it_closed_before_it_read_the_last_question(peer):
    challenges = Challenges(always(0))
    challenges.heard(peer.connection, peer.update(), 0)
    assert challenges.ask(1)
    for word in (b"environment", b"goodbye"):
        peer.theirs.send(word)
    peer.theirs.close()
    peer.connection.socket.setblocking(False)
    assert list(peer.connection.packets()) == [b"environment", b"goodbye", None]
