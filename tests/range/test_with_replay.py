"""With a replay, a mismatch is an alarm, a match explains what was found of numbers, and anything less does neither."""

from __future__ import annotations

import msgspec
import pytest

from range.reports import case_line, variant_line
from saksi.judgement.replay.values import (
    Audit,
    Detects,
    EnvironmentLine,
    Named,
    ReplayCoverage,
    ReplaySteps,
    SavedFile,
    SavedFiles,
    Segments,
)
from saksi.range import detectors
from saksi.range.case import Case
from saksi.range.case import Named as ToName
from saksi.range.detectors.protocol import Seen
from saksi.range.detectors.with_replay import WithReplay
from saksi.range.report import Judged
from saksi.range.scoring import judge_case, total_of
from saksi.words.findings import Coverage, Finding, FindingsReport

DETECTOR = WithReplay()


def audit(verdict="match", *, step=None, file=None, tensor=None):
    named = Named(
        step=step or 0, rank=0, stage="update", object=None, file=file, tensor=tensor, operation=None, fields=(),
        naming=None,
    )  # fmt: skip
    return Audit(
        run="r",
        attempt=0,
        verdict=verdict,
        tier="exact",
        environment=EnvironmentLine(verified=True, approved_by=("team",), differences=()),
        steps=ReplaySteps(total=60, replayed=60, match=60, mismatch=0, not_checkable=0),
        coverage=ReplayCoverage(
            fraction=1.0, segments=Segments(total=6, replayed=6), detects=Detects(one_segment=1.0, spread={})
        ),
        first_bad_step=step if verdict == "mismatch" else None,
        named=() if step is None else (named,),
        replays=1,
        sampled=None,
        saved=None,
        distance=None,
        reasons=(),
        sentence="",
    )


def seen(*audits, codes=()):
    items = tuple(
        Finding(
            code=code, severity="warning", first_step=7, last_step=7, ranks=(0,), subject="s", check="c", message="m",
            alleges="unknown", evidence=(),
        )
        for code in codes
    )  # fmt: skip
    coverage = Coverage(
        complete=True, steps_expected=60, steps_witnessed=60, ranks=1, dropped_records=0, not_checkable=()
    )
    report = FindingsReport(run="r", verdict="unknown", coverage=coverage, items=items)
    return Seen(report=report, numbers=(), approved={}, launched={}, audits=audits)


def weighing(given):
    return [each.code for each in DETECTOR.judge(given) if each.weighs]


def case(**more):
    given = {"named": (), **more}
    return Case(row="X01", name="toy", what="", layers=("replay",), draw=lambda _: {}, **given)


def test_a_mismatch_is_an_alarm_at_its_step():
    (alarm,) = DETECTOR.judge(seen(audit("mismatch", step=12)))
    assert (alarm.code, alarm.first_step, alarm.weighs) == ("replay.mismatch", 12, True)


@pytest.mark.parametrize("verdict", ["match", "not_checkable"])
def test_anything_else_is_none_also_where_it_shows_a_difference(verdict):
    assert DETECTOR.judge(seen(audit(verdict, step=12))) == ()


def test_a_match_explains_what_was_found_of_numbers_and_nothing_else():
    codes = ("state.changed_between_steps", "live.hook_added", "availability.killed")
    assert weighing(seen(audit("match"), codes=codes)) == ["live.hook_added", "availability.killed"]


@pytest.mark.parametrize(
    "audits",
    [(), (audit("not_checkable"),), (audit("match"), audit("not_checkable"))],
    ids=["no replay", "not checkable", "one attempt of two"],
)
def test_what_is_not_wholly_a_match_explains_nothing(audits):
    assert weighing(seen(*audits, codes=("state.changed_between_steps",))) == ["state.changed_between_steps"]


@pytest.mark.parametrize(
    ("named", "right"),
    [
        ({"file": "/lab/packages/sitecustomize.py:7"}, True),
        ({"file": "/lab/packages/mysitecustomize.py:7"}, False),
        ({"file": "/lab/train.py:7"}, False),
        ({"tensor": "0.weight"}, True),
        ({"tensor": "10.weight"}, False),
        ({}, False),
    ],
)
def test_a_mismatch_names_the_object_by_a_file_of_the_payload_or_by_its_tensor(named, right):
    payload = {"packages/sitecustomize.py": ""}
    alarms = DETECTOR.judge(seen(audit("mismatch", step=12, **named)))
    found = judge_case(case(files=payload), {"AT": 12, "TENSOR": "0.weight"}, DETECTOR, alarms, 12)
    assert (found.found, found.object_named, found.step_error) == (True, right, 0)


def test_a_payload_in_the_script_is_named_by_the_script():
    alarms = DETECTOR.judge(seen(audit("mismatch", step=12, file="/lab/train.py:7")))
    assert judge_case(case(script={"updated": "pass"}), {}, DETECTOR, alarms, 12).object_named


@pytest.mark.parametrize(("step", "when"), [(9, "behind step 9"), (-1, "before the first step")])
def test_a_file_that_was_saved_otherwise_is_told_and_found_by_nobody(step, when):
    files = SavedFiles(
        equal=1, differing=1, named=(SavedFile(path="/lab/best.pt", rank=0, step=step, how="other content"),)
    )
    (alarm,) = DETECTOR.judge(seen(msgspec.structs.replace(audit("match"), saved=files)))
    assert (alarm.code, alarm.weighs, alarm.text) == (
        "replay.saved_differs", False, f"file /lab/best.pt was saved {when}: other content",
    )  # fmt: skip
    listed = (ToName(code=r"replay\.saved_differs", pattern=r"best\.pt .*content"),)
    found = judge_case(case(named=listed), {}, DETECTOR, [alarm], 9)
    assert (found.found, found.told) == (False, True)


def test_what_a_case_lists_for_findings_names_it_here_too():
    listed = Case(
        row="X01", name="toy", what="", layers=("live",), named=(ToName(code="live.hook_added"),), draw=lambda _: {}
    )
    alarms = DETECTOR.judge(seen(audit("mismatch", step=7), codes=("live.hook_added",)))
    assert judge_case(listed, {}, DETECTOR, alarms, 7).object_named


def test_an_honest_program_is_accused_by_whoever_alarms():
    lines = (variant_line(), variant_line(alarmed=("saksi with replay",)))
    assert total_of(DETECTOR, (), lines).variants_accused == 1
    assert total_of(detectors.ALL[0], (), lines).variants_accused == 0


def test_it_is_asked_only_with_a_replay():
    assert [each.name for each in detectors.asked(replay=False)] == ["saksi", "loss and norm alarm", "file hashes"]
    assert detectors.asked(replay=True)[-1].name == "saksi with replay"


def test_it_is_counted_as_one_that_names_objects():
    judged = Judged(
        detector=DETECTOR.name, found=True, by=(), object_named=True, told=False, first_step=7, step_error=0
    )
    total = total_of(DETECTOR, (case_line((judged,)),), ())
    assert (total.found, total.object_named, total.steps_exact) == (1, 1, 1)
