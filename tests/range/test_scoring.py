"""Alarms are held against the truth, and what did not run is held against nobody."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from range.reports import case_line, variant_line
from saksi.range.case import Case, Named
from saksi.range.detectors.findings import Findings
from saksi.range.detectors.jumps import ENOUGH, Jumps, jumps_of
from saksi.range.detectors.protocol import Alarm
from saksi.range.report import Judged
from saksi.range.scoring import accusations, judge_case, total_of, unclean_because
from saksi.words.findings import Coverage, Finding, FindingsReport

SAKSI = Findings()
PARAMETERS = {"AT": 7, "TENSOR": "0.weight"}


def case(**more):
    given = {
        "row": "X01",
        "name": "toy",
        "what": "",
        "layers": ("live",),
        "named": (Named(code="update.differs", pattern=r"of {TENSOR}$"),),
        "draw": lambda _: PARAMETERS,
    }
    return Case(**{**given, **more})


def alarm(code="update.differs", text="the change of 0.weight", **more):
    return Alarm(code=code, text=text, **more)


def judged(*alarms, detector=SAKSI, true_step=7, **more):
    return judge_case(case(**more), PARAMETERS, detector, alarms, true_step)


def test_no_alarm_is_a_miss():
    assert judged() == Judged(
        detector="saksi", found=False, by=(), object_named=False, told=False, first_step=None, step_error=None
    )


def test_the_right_object_is_found_with_its_step():
    found = judged(alarm(first_step=9))
    assert (found.found, found.object_named, found.first_step, found.step_error) == (True, True, 9, 2)


@pytest.mark.parametrize("text", ["the change of 2.weight", "the change of 0xweight"])
def test_another_object_is_found_and_not_named(text):
    found = judged(alarm(text=text, first_step=7))
    assert (found.found, found.object_named) == (True, False)


def test_a_code_is_matched_whole():
    assert judged(alarm(code="update.differs_otherwise")).object_named is False


def test_what_weighs_nothing_is_told_and_not_found():
    found = judged(alarm(weighs=False))
    assert (found.found, found.told) == (False, True)


def test_an_alarm_about_coverage_counts_only_where_it_is_listed():
    assert not judged(alarm(code="coverage.gap", about_coverage=True)).found
    listed = (Named(code=r"coverage\.gap"),)
    assert judged(alarm(code="coverage.gap", about_coverage=True), named=listed).found


@pytest.mark.parametrize(("step", "found"), [(5, False), (6, True), (7, True)])
def test_an_edit_between_two_steps_may_show_in_what_was_left_behind_the_first(step, found):
    assert judged(alarm(text="another", first_step=step), delay=1).found is found


def test_alarms_that_name_the_object_decide_the_step():
    assert judged(alarm(code="other", first_step=7), alarm(first_step=10)).step_error == 3


def test_a_detector_that_names_no_objects_is_not_held_to_any():
    found = judged(alarm(code="jump", text="loss of rank 0", first_step=11), detector=Jumps())
    assert (found.found, found.object_named, found.told, found.step_error) == (True, None, False, 4)


def test_what_rings_before_anything_was_done_is_no_detection_unless_it_names_the_object():
    assert not judged(alarm(code="jump", text="loss of rank 0", first_step=6), detector=Jumps()).found
    assert not judged(alarm(code="other", first_step=6)).found
    assert judged(alarm(first_step=0)).step_error == -7


def line(*alarms, error=None):
    return case_line(() if error else (judged(*alarms),), error=error)


def finding(severity="warning", alleges="unknown"):
    return Finding(
        code="update.differs", severity=severity, first_step=7, last_step=7, ranks=(0,), subject="s", check="c",
        message="m", alleges=alleges,
    )  # fmt: skip


def report(*items, complete=True, verdict="unknown"):
    coverage = Coverage(
        complete=complete, steps_expected=1, steps_witnessed=1, ranks=1, dropped_records=0, not_checkable=("x",)
    )
    return FindingsReport(run="r", verdict=verdict, coverage=coverage, items=items)


def test_what_did_not_run_is_in_no_total():
    total = total_of(
        SAKSI,
        [line(alarm(first_step=7)), line(), line(error="the payload never acted")],
        [variant_line(), variant_line(error="no launch"), variant_line(*accusations(report(finding())))],
    )
    assert (total.cases, total.found, total.object_named) == (2, 1, 1)
    assert (total.steps_given, total.steps_exact, total.median_step_error) == (1, 1, 0.0)
    assert (total.variants, total.variants_accused) == (2, 1)


def test_an_accusation_is_a_warning_or_an_allegation():
    items = (finding("info"), finding("info", "tampering"), finding(), finding("critical"))
    assert [each.severity for each in accusations(report(*items))] == ["info", "warning", "critical"]


def test_why_a_verdict_is_unknown():
    assert unclean_because(report(), sealed=False) == ("no approved seal", "x")
    assert unclean_because(report(), sealed=True) == ("environment not verified", "x")
    incomplete = report(complete=False)
    assert unclean_because(incomplete, sealed=False) == ("no approved seal", "coverage is not complete", "x")
    assert unclean_because(report(verdict="affected"), sealed=False) == ()


@given(st.floats(0.1, 1e6), st.integers(0, 40))
def test_a_curve_that_stands_still_never_jumps(value, count):
    assert list(jumps_of([(step, value) for step in range(count)])) == []


@given(st.floats(0.1, 1e6), st.integers(ENOUGH, 40))
def test_a_value_far_above_all_before_it_is_a_jump(value, count):
    assert list(jumps_of([*((step, value) for step in range(count)), (count, value * 3)])) == [count]


def test_what_is_no_number_is_a_jump_and_what_was_not_said_is_none():
    assert list(jumps_of([(0, 1.0), (1, None), (2, float("nan")), (3, 1.0)])) == [2]
    assert list(jumps_of([(0, None)])) == []
