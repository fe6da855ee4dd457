"""What is replayed of a run is drawn so that nobody foresees it and anybody can draw it again."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from saksi.judgement.replay.drawing import Draw, drawn, overlapping, spoken_of
from saksi.judgement.replay.stretches import Stretch
from saksi.words.findings import Finding

DRAW = Draw(secret="00" * 16, log_root="11" * 32, beacon=None)
STRETCHES = tuple(Stretch(first=at, behind=at + 10) for at in range(0, 50, 10))


def finding(step, code="state.changed_between_steps"):
    return Finding(
        code=code, severity="warning", first_step=step, last_step=step, ranks=(0,), subject="", check="", message="",
        alleges="unknown", evidence=(),
    )  # fmt: skip


@given(st.integers(0, 40), st.integers(0, 50), st.sets(st.integers(0, 45)), st.binary(min_size=16, max_size=16))
def test_so_many_are_drawn_beside_those_that_are_taken_anyway(total, wanted, always, secret):
    draw = msgspec.structs.replace(DRAW, secret=secret.hex())
    taken = {each for each in always if each < total}
    found = drawn(draw, total, wanted, always=always)
    assert list(found) == sorted(set(found))
    assert taken <= set(found) <= set(range(total))
    assert len(found) == min(total, len(taken) + wanted)
    assert drawn(draw, total, wanted, always=always) == found


def test_the_secret_the_log_and_the_beacon_each_change_the_draw():
    others = [{"secret": "01" * 16}, {"log_root": "12" * 32}, {"beacon": "x"}]
    draws = {drawn(msgspec.structs.replace(DRAW, **each), 1000, 5) for each in ({}, *others)}
    assert len(draws) == 4


def test_a_draw_is_one_of_a_known_order():
    """Worked out apart from this code, with the standard library's HMAC over eight bytes of the number."""
    assert drawn(DRAW, 10, 3) == (4, 5, 9)


def test_each_is_drawn_about_as_often():
    counts = [0] * 8
    for number in range(2000):
        for each in drawn(msgspec.structs.replace(DRAW, secret=f"{number:032x}"), 8, 2):
            counts[each] += 1
    assert min(counts) > 400
    assert max(counts) < 600


def test_the_ends_and_what_a_finding_begins_in_are_spoken_of():
    assert spoken_of(STRETCHES, []) == {0, 4}
    assert spoken_of(STRETCHES, [finding(29), finding(30)]) == {0, 2, 3, 4}
    assert spoken_of(STRETCHES, [finding(29, "coverage.steps_missing"), finding(None), finding(99)]) == {0, 4}
    assert spoken_of((), [finding(1)]) == frozenset()


def test_a_span_of_steps_takes_every_stretch_that_has_one_of_them():
    assert overlapping(STRETCHES, 10, 19) == (1,)
    assert overlapping(STRETCHES, 9, 20) == (0, 1, 2)
    assert overlapping(STRETCHES, 60, 70) == ()
