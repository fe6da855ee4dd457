"""What an audit of some stretches says: a match of what was replayed, and how much of the run that is."""

from __future__ import annotations

import pytest

from saksi.judgement.replay.drawing import Draw
from saksi.judgement.replay.recorded import Recorded
from saksi.judgement.replay.sampled import Plan, Replayed, Told, audit_of_stretches, with_stretches
from saksi.judgement.replay.stretches import Stretch
from saksi.judgement.replay.values import EnvironmentLine, Split

VERIFIED = EnvironmentLine(verified=True, approved_by=("maria",), differences=())
DRIFTED = EnvironmentLine(verified=False, approved_by=("maria",), differences=("torch: changed",))
STRETCHES = tuple(Stretch(first=at, behind=at + 10) for at in range(0, 50, 10))
DRAW = Draw(secret="00", log_root="11", beacon=None)


def recorded(steps=50, ranks=1):
    roots = {(rank, step): "a" * 64 for rank in range(ranks) for step in (-1, *range(4, steps, 5))}
    return Recorded(
        attempts=1,
        steps=dict.fromkeys(range(ranks), steps),
        last=dict.fromkeys(range(ranks), steps - 1),
        roots=roots,
        loaded=0,
        again=False,
        saved=(),
        took_ns=1,
    )


def plan(*chosen, always=(0, 4)):
    return Plan(stretches=STRETCHES, chosen=chosen, always=frozenset(always), draw=DRAW)


def done(number, *, equal=10, means="resume", reason=None, ranks=1):
    return Replayed(number=number, means=means, steps=10 * ranks, equal=equal * ranks, reason=reason)


def audited(*found, environment=VERIFIED, always=(0, 4), ranks=1, against=(), draw=DRAW, chosen=None):
    numbers = [each.number for each in found] if chosen is None else chosen
    planned = Plan(
        stretches=STRETCHES, chosen=tuple(numbers), always=frozenset(always), draw=draw, resume=("--resume",)
    )
    told = Told(found=found, environment=environment, replays=7, against=against)
    return audit_of_stretches(("run", 0), recorded(ranks=ranks), planned, told)


def test_equal_stretches_are_a_match_of_what_was_replayed():
    found = audited(done(0, means="start"), done(2), done(4))
    assert (found.verdict, found.reasons, found.first_bad_step, found.named) == ("match", (), None, ())
    assert (found.steps.total, found.steps.replayed, found.steps.match, found.steps.not_checkable) == (50, 30, 30, 20)
    assert found.coverage.fraction == 0.6
    assert (found.coverage.segments.total, found.coverage.segments.replayed) == (10, 6)
    assert found.sentence.startswith("30 of 50 steps were replayed, in 3 of 5 stretches, and are bit for bit")
    assert [(each.first_step, each.last_step, each.means) for each in found.sampled.stretches] == [
        (0, 9, "start"), (20, 29, "resume"), (40, 49, "resume"),
    ]  # fmt: skip


def test_the_worst_place_for_what_was_done_is_a_stretch_that_had_to_be_drawn():
    """Whoever knows that both ends are always replayed acts in one of the three others."""
    assert audited(done(0), done(2), done(4)).coverage.detects.one_segment == pytest.approx(1 / 3)
    assert audited(done(0), done(4)).coverage.detects.one_segment == 0.0
    assert audited(*(done(each) for each in range(5))).coverage.detects.one_segment == 1.0


def test_all_stretches_are_all_steps():
    found = audited(*(done(each, ranks=2) for each in range(5)), ranks=2)
    assert found.sentence.startswith("All 100 steps are bit for bit")
    assert found.steps.match == 100


def test_one_stretch_that_is_not_equal_makes_it_no_match():
    found = audited(done(0), done(2, equal=3, reason="the replay ended"), done(4))
    assert (found.verdict, found.reasons) == ("not_checkable", ("the replay ended",))
    assert (found.steps.match, found.steps.mismatch, found.steps.not_checkable) == (23, 0, 27)
    assert found.sampled.stretches[1].equal is False


def test_an_environment_that_did_not_verify_proves_nothing():
    found = audited(done(0), environment=DRIFTED)
    assert (found.verdict, found.reasons) == ("not_checkable", ("the environment did not verify: torch: changed",))


def test_what_stands_against_a_replay_from_the_start_makes_it_no_match_whatever_is_equal():
    found = audited(done(0, means="start"), done(4), against=("the replay itself was found to be otherwise: x",))
    assert (found.verdict, found.reasons) == ("not_checkable", ("the replay itself was found to be otherwise: x",))


def test_stretches_that_were_met_by_the_way_are_no_part_of_the_chance():
    """A replay from the start covers all before the one that was drawn, which nobody could count on."""
    found = audited(*(done(each, means="start") for each in range(4)), chosen=(0, 3, 4))
    assert found.coverage.detects.one_segment == pytest.approx(1 / 3)
    assert found.coverage.fraction == 0.8


def test_stretches_that_were_named_meet_nothing_elsewhere():
    found = audited(done(1), done(2), draw=None, always=())
    assert (found.coverage.detects.one_segment, set(found.coverage.detects.spread.values())) == (0.0, {0.0})


def test_nothing_replayed_is_no_match():
    found = audited()
    assert (found.verdict, found.reasons) == ("not_checkable", ("nothing was replayed",))


def test_a_mismatch_from_the_start_is_one_of_the_whole_run():
    whole = audited(done(0), done(4))
    steps = type(whole.steps)(total=20, replayed=15, match=14, mismatch=1, not_checkable=5)
    from_start = type(whole)(**{name: getattr(whole, name) for name in whole.__struct_fields__} | {"steps": steps})
    found = with_stretches(from_start, recorded(), plan(0, 1), (done(0), done(1, equal=4, means="start")), 2)
    assert (found.steps.total, found.steps.match, found.steps.mismatch, found.steps.not_checkable) == (50, 14, 1, 35)
    assert (found.coverage.fraction, found.coverage.segments.total, found.replays) == (0.3, 10, whole.replays + 2)
    assert [each.equal for each in found.sampled.stretches] == [True, False]


def one_step(number, *, slack=0.2, planted=3e4, equal=True, ranks=1, reason="step 20 of rank 0: another loss"):
    """The first Step of a stretch, up to rounding."""
    split = Split(
        step=10 * number, elements=90, noise=1e-7, slack=slack, furthest="the gradient of head", planted=planted
    )
    return Replayed(number=number, means="resume", steps=ranks, equal=ranks if equal else 0, reason=reason, split=split)


def test_first_steps_up_to_rounding_are_a_match_of_so_many_steps_in_the_tier_split():
    found = audited(one_step(0, planted=None), one_step(2, slack=0.25, planted=500.0), one_step(4), ranks=1)
    assert (found.verdict, found.tier, found.reasons) == ("match", "split", ())
    assert (found.steps.replayed, found.steps.match, found.steps.not_checkable) == (3, 3, 47)
    assert found.sentence.startswith("3 of 50 steps are what the sealed program does, up to rounding: each begins with")
    assert "(at most 0.25 of what is allowed; one changed label: 500 times)" in found.sentence
    assert [(each.equal, each.split.step) for each in found.sampled.stretches] == [(False, 0), (False, 20), (False, 40)]


def test_single_steps_cover_no_stretch_and_meet_nothing_that_was_done_in_one():
    found = audited(one_step(0), one_step(2, ranks=2), one_step(4))
    assert (found.coverage.segments.replayed, found.coverage.detects.one_segment) == (0, 0.0)
    assert found.coverage.fraction == pytest.approx(4 / 50)
    assert set(found.coverage.detects.spread.values()) == {0.0}


def test_stretches_that_are_equal_are_told_apart_from_steps_up_to_rounding():
    found = audited(done(0, means="start"), one_step(2), done(4))
    assert (found.verdict, found.tier, found.steps.match) == ("match", "split", 21)
    assert found.sentence.startswith("20 of 50 steps are bit for bit what the sealed program does. 1 of 50 steps are")
    assert found.coverage.segments.replayed == 4


def test_a_first_step_that_is_too_far_is_no_match_and_no_mismatch():
    far = "step 20: the gradient of head is 97.4 times as far from the replay as rounding explains here"
    found = audited(done(0), one_step(2, slack=97.4, equal=False, reason=far), done(4))
    assert (found.verdict, found.tier, found.reasons) == ("not_checkable", "exact", (far,))
    assert (found.steps.match, found.steps.mismatch) == (20, 0)
    assert found.sampled.stretches[1].split.slack == 97.4
