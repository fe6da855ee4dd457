"""What an audit of some stretches does one after the other: resume, up to rounding, from the start; and what counts."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from judgement.replay.test_sampled import DRAW, STRETCHES, VERIFIED, done, one_step, recorded
from saksi.doors.cli import audit_stretches
from saksi.doors.cli.audit_resumed import Answer, Part
from saksi.doors.cli.audit_split import NOTHING, UpToRounding
from saksi.doors.cli.audit_stretches import Wanted
from saksi.judgement.replay.sampled import Plan
from saksi.words.errors import UsageError

APART = "resumed there it is another: step 20 of rank 0: another loss"
PLACE = "this is another stack than the run had: threads"
DISTRUST = "the replay itself was found to be otherwise: x"


def resumed(answer):
    return Answer(answer, VERIFIED, replays=1, reading=object())


def from_start(verdict, *reasons, step=None, match=50):
    named = () if step is None else (SimpleNamespace(step=step),)
    return SimpleNamespace(
        verdict=verdict, reasons=reasons, named=named, replays=1, environment=VERIFIED,
        steps=SimpleNamespace(match=match),
    )  # fmt: skip


@pytest.fixture
def audited(monkeypatch, tmp_path):
    """Audits stretches with these answers; what is asked up to rounding, and from the start, is noted."""

    def ask(answers, *rounded, audit=None):
        asked, told = [], list(rounded)

        def up_to_rounding(_part, _pool, _jobs, _answers, numbers):
            asked.append(list(numbers))
            return told.pop(0)

        def start(_replays, *, steps):
            asked.append(steps)
            return audit

        monkeypatch.setattr(audit_stretches, "LocalPool", lambda *_, **__: None)
        monkeypatch.setattr(audit_stretches, "resumed", lambda *_: answers)
        monkeypatch.setattr(audit_stretches, "up_to_rounding", up_to_rounding)
        monkeypatch.setattr(audit_stretches, "replayed_from_start", start)
        monkeypatch.setattr(audit_stretches, "_apart", lambda replays, _: replays)
        plan = Plan(stretches=STRETCHES, chosen=tuple(answers), always=frozenset(), draw=DRAW)
        case = SimpleNamespace(recorded=recorded(), reading=SimpleNamespace(run="run"), attempt=0)
        replays = SimpleNamespace(place=tmp_path, signals=SimpleNamespace(interruptible=None))
        part = Part(case, plan, replays, None)
        return audit_stretches._replayed(part, 1, SimpleNamespace(results=None)), asked

    return ask


@pytest.mark.parametrize("name", ["OMP_NUM_THREADS", "MKL_NUM_THREADS"])
def test_threads_that_the_commands_own_variables_say_are_not_asked_for(name):
    """The replays would have those of the run, and be taken for others."""
    wanted = Wanted(sample=1, steps=None, beacon=None, resume=None)
    asked = SimpleNamespace(threads=2, invocation=SimpleNamespace(environment={name: "4", "PATH": "/bin"}))
    with pytest.raises(UsageError, match=f"--threads 2: the sealed variables of the command say how many: {name}"):
        audit_stretches.audited_in_part(asked, wanted)


def rounding(*answers, unsaid=None, replays=4):
    return UpToRounding({each.number: each for each in answers}, (VERIFIED,) * replays, replays, unsaid or {})


def test_what_is_told_up_to_rounding_is_not_replayed_from_the_start(audited):
    found, asked = audited({1: resumed(done(1)), 2: resumed(APART)}, rounding(one_step(2)))
    assert asked == [[2]]
    assert (found.verdict, found.tier, found.steps.match, found.replays) == ("match", "split", 11, 6)


def test_what_cannot_be_told_so_is_replayed_from_the_start_and_equal_there_is_a_match(audited):
    answers = {2: resumed(APART), 3: resumed(APART)}
    rounded = rounding(one_step(3), unsaid={2: "step 20 cannot be compared up to rounding: another groups"})
    found, asked = audited(answers, rounded, audit=from_start("match"))
    assert asked == [[2, 3], 31]
    assert (found.verdict, found.tier, found.steps.match) == ("match", "split", 31)
    assert [each.means for each in found.sampled.stretches] == ["start", "start", "start", "resume"]


def test_where_nothing_was_resumed_the_replay_from_the_start_comes_first(audited):
    found, asked = audited(
        {0: Answer(None)}, rounding(one_step(0)), audit=from_start("not_checkable", PLACE, step=0, match=0)
    )
    assert asked == [11, [0]]
    assert (found.verdict, found.steps.match, found.replays) == ("match", 1, 5)


def test_a_stretch_that_was_asked_of_is_not_asked_of_again(audited):
    found, asked = audited(
        {2: resumed(APART)}, NOTHING._replace(replays=1), audit=from_start("not_checkable", PLACE, step=25, match=25)
    )
    assert asked == [[2], 31]
    assert (found.verdict, found.reasons, found.replays) == ("not_checkable", (PLACE,), 3)


def test_why_nothing_was_told_is_said_behind_what_the_replay_from_the_start_says(audited):
    unsaid = {2: "step 20 cannot be compared up to rounding: another groups"}
    found, _ = audited(
        {2: resumed(APART)}, rounding(unsaid=unsaid), audit=from_start("not_checkable", PLACE, step=20, match=20)
    )
    assert found.sampled.stretches[-1].reason == f"{PLACE}; {unsaid[2]}"


@pytest.mark.parametrize("step", [None, 25])
def test_what_stands_against_the_replay_from_the_start_stays_whatever_is_told(audited, step):
    reasons = (DISTRUST,) if step is None else (DISTRUST, PLACE)
    found, asked = audited(
        {0: Answer(None), 2: Answer("gone", replays=1)}, audit=from_start("not_checkable", *reasons, step=step)
    )
    assert asked == [31]
    assert (found.verdict, found.reasons) == ("not_checkable", reasons)


def test_what_was_resumed_equal_behind_it_stays_so(audited):
    found, _ = audited(
        {0: Answer(None), 4: resumed(done(4))}, rounding(unsaid={0: "step 0 cannot be compared up to rounding: x"}),
        audit=from_start("not_checkable", PLACE, step=3, match=3),
    )  # fmt: skip
    assert (found.verdict, found.steps.match) == ("not_checkable", 13)
    assert [each.equal for each in found.sampled.stretches] == [False, True]
