"""Alarms against the truth: found or not, the right object or not, how many steps off. Pure.

Rules: an alarm about coverage counts only for a case that lists it (a recorder that was taken out); one that rings
before anything was done counts only if it names the object, as a hook may be seen before it acts; one that weighs
nothing never counts as found, and is said where it named the object; a case that did not run is in no total.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import PurePath
from statistics import median

from saksi.range.case import Case, Named, Parameters
from saksi.range.compose import payload_files
from saksi.range.detectors.findings import Findings
from saksi.range.detectors.protocol import MISMATCH, Alarm, Detector
from saksi.range.report import Accusation, CaseLine, Judged, Total, VariantLine
from saksi.words.findings import FindingsReport, at_or_above

__all__ = ["accusations", "judge_case", "total_of", "unclean_because"]


def judge_case(
    case: Case, parameters: Parameters, detector: Detector, alarms: Sequence[Alarm], true_step: int | None
) -> Judged:
    """What `detector` made of a case of which it gave `alarms`."""
    acted = None if true_step is None else true_step - case.delay
    named = (*case.named, *_named_by_replay(case, parameters))
    right = [each for each in alarms if _names(named, parameters, each)] if detector.names_objects else []
    counted = [each for each in alarms if each.weighs and (each in right or _may_be_of_it(each, acted))]
    best = [each for each in counted if each in right] or counted
    steps = [each.first_step for each in best if each.first_step is not None]
    first = min(steps, key=lambda step: (abs(step - (true_step or 0)), step), default=None)
    return Judged(
        detector=detector.name,
        found=bool(counted),
        by=tuple(dict.fromkeys(each.code if detector.names_objects else each.text for each in best)),
        object_named=any(each in right for each in counted) if detector.names_objects else None,
        told=bool(right) and not any(each in right for each in counted),
        first_step=first,
        step_error=None if first is None or true_step is None else first - true_step,
    )


def _named_by_replay(case: Case, parameters: Parameters) -> Iterator[Named]:
    """A mismatch names the object if it says a file that the payload lies in, or the tensor that it acts on."""
    for name in payload_files(case):
        yield Named(code=MISMATCH, pattern=rf"\b{re.escape(PurePath(name).name)}:\d")
    if "TENSOR" in parameters:
        yield Named(code=MISMATCH, pattern=r"\b{TENSOR}\b")


def _may_be_of_it(alarm: Alarm, acted: int | None) -> bool:
    early = alarm.first_step is not None and acted is not None and alarm.first_step < acted
    return not alarm.about_coverage and not early


def _names(named: Iterable[Named], parameters: Parameters, alarm: Alarm) -> bool:
    for each in named:
        pattern = each.pattern
        for name, value in parameters.items():
            pattern = pattern.replace(f"{{{name}}}", re.escape(str(value)))
        if re.fullmatch(each.code, alarm.code) and re.search(pattern, alarm.text):
            return True
    return False


def accusations(report: FindingsReport) -> tuple[Accusation, ...]:
    """What was alleged of an honest program; of saksi each is a fault."""
    return tuple(
        Accusation(
            code=each.code,
            severity=each.severity,
            alleges=each.alleges,
            subject=each.subject,
            first_step=each.first_step,
            message=each.message,
        )
        for each in report.items
        if at_or_above(each.severity, "warning") or each.alleges == "tampering"
    )


def unclean_because(report: FindingsReport, *, sealed: bool = False) -> tuple[str, ...]:
    """Why a verdict is `unknown`. `sealed`: the launch was under an approved seal; its environment never is."""
    if report.verdict != "unknown":
        return ()
    lacking = () if report.coverage.complete else ("coverage is not complete",)
    first = "environment not verified" if sealed else "no approved seal"
    return (first, *lacking, *report.coverage.not_checkable)


def total_of(detector: Detector, cases: Iterable[CaseLine], variants: Iterable[VariantLine]) -> Total:
    """One detector over all lines that have no error."""
    judged = [each for line in cases if line.error is None for each in line.judged if each.detector == detector.name]
    ran = [each for each in variants if each.error is None]
    errors = [each.step_error for each in judged if each.step_error is not None]
    named = sum(each.object_named is True for each in judged) if detector.names_objects else None
    accused = sum(
        bool(each.accused) if detector.name == Findings.name else detector.name in each.alarmed for each in ran
    )
    return Total(
        detector=detector.name,
        cases=len(judged),
        found=sum(each.found for each in judged),
        object_named=named,
        steps_given=len(errors),
        steps_exact=sum(each == 0 for each in errors),
        median_step_error=float(median(abs(each) for each in errors)) if errors else None,
        variants=len(ran),
        variants_accused=accused,
    )
