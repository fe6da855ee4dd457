"""Which findings an expectation covers, and what form it has."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from judgement.expectations import PRUNED, expectation, expectations
from saksi.judgement.expect.values import Expectation, covers, in_order, in_words
from saksi.words.findings import Finding


def finding(first=21, last=None, **changed):
    fields = {
        "code": PRUNED, "severity": "warning", "first_step": first, "last_step": first if last is None else last,
        "ranks": (0,), "subject": "parameters of optimizer 0", "check": "continuity", "message": "It changed.",
    }  # fmt: skip
    return Finding(**fields | changed)


def test_an_expectation_of_a_code_alone_covers_all_of_it():
    assert covers(expectation(), finding())
    assert covers(expectation(), finding(None))
    assert not covers(expectation(), finding(code="randomness.state_repeated"))


@pytest.mark.parametrize(
    ("subject", "covered"),
    [
        ("parameters of optimizer 0", True),
        ("parameters of *", True),
        ("*", True),
        ("parameters", False),
        ("moments of *", False),
        ("parameters of optimizer 1", False),
    ],
)
def test_the_subject_is_all_of_it_or_a_pattern(subject, covered):
    assert covers(expectation(subject=subject), finding()) is covered


@pytest.mark.parametrize(
    ("spans", "first", "last", "covered"),
    [
        (((21, 21),), 21, 21, True),
        (((10, 30),), 10, 30, True),
        (((10, 30),), 9, 30, False),
        (((10, 30),), 10, 31, False),
        (((10, 20), (22, 30)), 10, 30, False),
        (((10, 20), (22, 30)), 22, 25, True),
        (((10, 30),), None, None, False),
    ],
)
def test_each_step_of_a_finding_has_to_be_expected(spans, first, last, covered):
    assert covers(expectation(steps=spans), finding(first, last)) is covered


@pytest.mark.parametrize(
    ("every", "offset", "first", "last", "covered"),
    [
        (10, 0, 0, 0, True),
        (10, 0, 40, 40, True),
        (10, 0, 41, 41, False),
        (10, 0, 40, 50, False),  # what lies between is not known
        (10, 3, 43, 43, True),
        (10, 23, 13, 13, False),  # before the first
        (1, 5, 5, 90, True),
        (1, 5, 4, 90, False),
        (10, 0, None, None, False),
    ],
)
def test_every_nth_step_from_an_offset_on(every, offset, first, last, covered):
    assert covers(expectation(every=every, offset=offset), finding(first, last)) is covered


def test_every_counts_within_the_spans():
    each = expectation(steps=((20, 40),), every=10)
    assert [covers(each, finding(step)) for step in (10, 20, 25, 40, 50)] == [False, True, False, True, False]


def test_a_rank_is_that_rank_alone():
    assert covers(expectation(rank=0), finding())
    assert not covers(expectation(rank=1), finding())
    assert not covers(expectation(rank=0), finding(ranks=(0, 1)))
    assert not covers(expectation(rank=0), finding(ranks=()))


def test_what_is_never_expected_is_covered_by_nothing():
    code = "witness.chain_broken"
    assert not covers(expectation(code=code), finding(code=code))


@given(expectations, st.integers(0, 300), st.integers(0, 30))
def test_a_finding_over_a_span_is_covered_only_if_each_step_of_it_would_be(each, first, more):
    said = finding(first, first + more, code=each.code, subject=each.subject or "x", ranks=(each.rank or 0,))
    if covers(each, said):
        steps = range(first, first + more + 1)
        assert all(covers(each, msgspec.structs.replace(said, first_step=step, last_step=step)) for step in steps)


@pytest.mark.parametrize(
    "changed",
    [
        {"steps": ((3, 2),)},
        {"steps": ((5, 6), (1, 2))},
        {"steps": ((1, 2), (3, 4))},  # one span, written as two
        {"steps": ((1, 2), (2, 4))},
        {"offset": 1},
        {"subject": "a\x1bb"},
        {"why": " "},
        {"why": "a\nb"},
    ],
)
def test_what_is_not_the_one_form_is_refused(changed):
    with pytest.raises(ValueError):  # noqa: PT011 - a type's own, whose words a parser wraps
        expectation(**changed)
    content = msgspec.json.encode(msgspec.to_builtins(expectation()) | changed)
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(content, type=Expectation)


def test_a_seal_has_them_in_one_order_and_none_twice():
    one, other = expectation(why="One."), expectation(why="Two.")
    assert in_order((one, other))
    assert not in_order((other, one))
    assert not in_order((one, one))
    assert not in_order(())


def test_in_words():
    whole = expectation(subject="a *", steps=((1, 1), (3, 9)), every=2, offset=1, rank=4)
    assert in_words(whole) == f"{PRUNED} of a *, steps 1, 3 to 9, every 2 steps from 1 on, rank 4"
    assert in_words(expectation(steps=((21, 21),))) == f"{PRUNED}, step 21"
    assert in_words(expectation()) == PRUNED
