from __future__ import annotations

import json

import pytest

from saksi.judgement.checks.challenges import CHALLENGES, LATEST_NS
from saksi.judgement.items import Item, Line
from saksi.words.codec import decode_frame
from saksi.words.records import AttachRecord, BlockRecord, ChallengeRecord, DetachRecord, Peer
from simulated_run import hello_fields, live_fields, update_fields

S = 1_000_000_000
ASKED = "a" * 32
STAMP = {"run": "0" * 16, "attempt": 0, "wall_ns": 1, "boot": "b"}
PEER = Peer(pid=1, uid=1, gid=1)


class Story:
    """Items in order: questions, and blocks of frames with the times at which they were made and received."""

    def __init__(self):
        self.items = []
        self.seq = 0

    def add(self, record, lines=()):
        self.items.append(Item(index=len(self.items), record=record, lines=lines))
        return self

    def ask(self, at, nonce=ASKED):
        return self.add(ChallengeRecord(connection=0, rank=0, nonce=nonce, mono_ns=int(at * S), **STAMP))

    def frames(self, *frames, lost=0):
        """Frames as (kind, seconds, fields); `received` is a second after they were made if nothing else is said."""
        lines = []
        for kind, at, fields in frames:
            received = int(fields.pop("received", at + 1) * S)
            head = {"kind": kind, "seq": self.seq, "prev": "0" * 64, "wall_ns": 1, "mono_ns": int(at * S), "lost": lost}
            self.seq += 1
            raw = json.dumps(head | fields).encode()
            lines.append(Line(received_ns=received, raw=raw, frame=decode_frame(raw)))
        block = BlockRecord(
            connection=0, rank=0, blob="sha256:" + "0" * 64, size=1, frames=len(lines), first_seq=0, last_seq=0,
            updates=0, first_step=None, last_step=None, mono_ns=1, **STAMP,
        )  # fmt: skip
        return self.add(block, tuple(lines))

    def end(self, *, clean=True, lost=0):
        return self.add(
            DetachRecord(
                connection=0, peer=PEER, rank=0, clean=clean, frames=1, lost=lost, last_step=None, mono_ns=1, **STAMP
            )
        )

    def begin(self, at=0, *, lost=0, pid=1):
        peer = Peer(pid=pid, uid=1, gid=1)
        self.add(AttachRecord(connection=0, peer=peer, rank=0, claimed=b"{}", mono_ns=1, **STAMP))
        return self.frames(("hello", at, hello_fields(pid=1, rank=0, world_size=1)), lost=lost)

    def found(self):
        state = CHALLENGES.start()
        news = []
        for item in self.items:
            state, found = CHALLENGES.step(state, item)
            news += found
        kept = CHALLENGES.finish(state, ended=True)
        assert {each.message for each in news} <= {each.message for each in kept}
        return kept


def update(at, step=0, **more):
    return "update", at, update_fields(step) | more


def answer(at, nonce=ASKED, **more):
    return "live", at, live_fields(number=1, at="challenge", nonce=nonce, **more)


def many(first, last):
    return [update(at, step) for step, at in enumerate(range(first, last))]


def test_a_question_that_is_answered_where_the_next_update_begins_is_nothing_to_speak_of():
    assert Story().frames(*many(0, 5)).ask(5.5).frames(answer(6), *many(6, 60)).end().found() == ()


def test_updates_that_go_on_without_an_answer_are_named_with_the_first_step():
    story = Story().frames(*many(0, 5)).ask(4.5).frames(*(update(at, at) for at in range(5, 12))).end()
    (found,) = story.found()
    assert (found.code, found.severity, found.alleges) == ("witness.challenge_unanswered", "warning", "unknown")
    assert (found.first_step, found.ranks, found.evidence) == (5, (0,), (1,))


@pytest.mark.parametrize(
    "story",
    [
        # The updates were made before the question, and only received after it.
        Story().ask(10).frames(*(update(at, received=20 + at) for at in range(10))),
        # A step that takes minutes: the question is found where the next one begins.
        Story().ask(10).frames(update(300), update(600, received=601)),
        # The process ended, or the connection did, before it was asked to answer.
        Story().ask(10).frames(update(11)).end().frames(*many(20, 30)),
        # Frames were dropped meanwhile: the answer may be among them, and the drop is said elsewhere.
        Story().frames(update(1)).ask(2).frames(*many(3, 30), lost=2),
        # That part of the recorder failed, and said so.
        Story().ask(10).frames(("fault", 11, {"where": "live", "error": "x"}), *many(12, 40)),
        Story().frames(("fault", 1, {"where": "live", "error": "x"})).ask(10).frames(*many(12, 40)),
        # It could not be put in place at all, and said so.
        Story().frames(("fault", 1, {"where": "install.live_code", "error": "x"})).ask(10).frames(*many(12, 40)),
    ],
)  # fmt: skip
def test_what_is_no_silence(story):
    assert story.found() == ()


def test_a_job_that_says_its_frames_are_old_does_not_escape():
    late = LATEST_NS // S
    (found,) = Story().ask(10).frames(*(update(1, received=10 + late + at) for at in range(1, 9))).found()
    assert found.code == "witness.challenge_unanswered"


def test_an_answer_to_what_nobody_asked_is_said_and_one_that_comes_before_its_question_in_the_log_is_not():
    (found,) = Story().ask(1).frames(answer(2), answer(3, "b" * 32, step=7)).end().found()
    assert (found.code, found.first_step) == ("witness.challenge_unanswered", 7)
    assert "did not ask" in found.message
    assert Story().frames(answer(3, "b" * 32)).ask(1, "b" * 32).found() == ()


def test_a_connection_of_the_same_number_begins_anew():
    story = Story().ask(1)
    story.add(AttachRecord(connection=0, peer=PEER, rank=0, claimed=b"{}", mono_ns=1, **STAMP))
    assert story.frames(*many(2, 40)).found() == ()


def test_a_question_that_is_open_as_the_connection_breaks_is_answered_on_the_next_one():
    story = Story().begin().frames(update(1)).ask(2).end(clean=False)
    story.begin(3).ask(3.2, "b" * 32).frames(answer(4, "b" * 32), *many(5, 40)).end()
    assert story.found() == ()


@pytest.mark.parametrize("clean", [False, True])
def test_a_process_that_connects_anew_whenever_it_is_asked_does_not_answer(clean):
    story = Story()
    for number in range(3):
        story.begin(10 * number).frames(update(10 * number + 1, number)).ask(10 * number + 2, f"{number}" * 32)
        story.frames(update(10 * number + 3, number)).end(clean=clean)
    assert story.found() == ()  # the last one may have been its end
    (found,) = story.begin(40).found()
    assert (found.code, found.severity, found.alleges) == ("witness.challenge_unanswered", "warning", "unknown")
    assert (found.first_step, found.last_step, found.ranks, len(found.evidence)) == (0, 2, (0,), 3)
    assert "connected anew each time" in found.message


@pytest.mark.parametrize("how", ["answered", "other processes", "dropped"])
def test_connections_that_break_are_no_silence(how):
    story = Story()
    for number in range(9):
        pid = number + 1 if how == "other processes" else 1
        lost = number if how == "dropped" else 0
        story.begin(10 * number, pid=pid, lost=lost).frames(update(10 * number + 1), lost=lost)
        if how == "answered" and number % 2:
            story.ask(10 * number + 1, f"{number}" * 32).frames(answer(10 * number + 2, f"{number}" * 32))
        story.ask(10 * number + 3, f"{number:x}a" * 16).end(clean=False, lost=lost)
    assert story.begin(100).found() == ()


def test_a_process_that_connects_anew_before_its_last_connection_is_seen_to_end_is_held_to_it_too():
    story = Story()
    for number in range(4):
        peer = {"peer": PEER, "rank": 0, "mono_ns": 1}
        story.add(AttachRecord(connection=number + 1, claimed=b"{}", **peer, **STAMP))
        if number:
            detached = {"clean": False, "frames": 1, "lost": 0, "last_step": None}
            story.add(DetachRecord(connection=number, **peer, **detached, **STAMP))
        story.add(ChallengeRecord(connection=number + 1, rank=0, nonce=f"{number}" * 32, mono_ns=S, **STAMP))
    (found,) = story.found()
    assert "connected anew each time" in found.message
