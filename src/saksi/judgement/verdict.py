"""From findings to one word, one sentence and one exit code.

`affected` if a finding of severity warning or above stands that is not about coverage; else `clean` only if the seal is
approved, the environment verified, coverage complete and every check ran; else `unknown`. Absence never reassures: with
nothing known about seal and environment, nothing is clean.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec

from saksi.judgement.checks import ALL, Check, Judging, merge
from saksi.judgement.checks.coverage import COVERAGE
from saksi.judgement.checks.declared import HeldToApproved
from saksi.judgement.expect.weigh import Expected
from saksi.judgement.history import History, Recorded
from saksi.judgement.history_builder import HistoryBuilder
from saksi.judgement.items import Item
from saksi.words.findings import (
    Coverage,
    Finding,
    FindingsReport,
    Severity,
    Verdict,
    at_or_above,
    is_about_coverage,
)

__all__ = [
    "NOTHING_ASSURED",
    "Assurance",
    "Judgement",
    "VerdictSentence",
    "exit_code",
    "judge",
    "reaching",
    "verdict_of",
    "verdict_sentence",
]

_CLEAN: Final = 0
_NEGATIVE: Final = 1
_INCONCLUSIVE: Final = 3


class Assurance(msgspec.Struct, frozen=True, kw_only=True):
    """What is known about a run beside what its checks say. `planned_steps` is the plan's number, if there is one.

    `seal_approved`: every attempt was launched under a seal file that is approved here, by `approved_by`;
    `approved_attempts` are those of which that is so.
    `seal_compared`: nothing in it remained that could not be compared with the launch. `findings` are what was found on
    the way.
    """

    seal_approved: bool
    environment_verified: bool
    planned_steps: int | None = None
    approved_by: tuple[str, ...] = ()
    seal_compared: bool = True
    approved_attempts: frozenset[int] = frozenset()
    findings: tuple[Finding, ...] = ()


NOTHING_ASSURED: Final = Assurance(seal_approved=False, environment_verified=False)


class Judgement(msgspec.Struct, frozen=True, kw_only=True):
    """One pass over a log: what happened, and what is held of it. `ended` is false while the run goes on.

    `ran_all` is whether every check was among those that were run.
    """

    history: History
    report: FindingsReport
    assurance: Assurance
    ended: bool
    ran_all: bool


class VerdictSentence(msgspec.Struct, frozen=True, kw_only=True):
    """What a newcomer reads, and the command to run next."""

    text: str
    next_command: str


def judge(
    items: Iterable[Item],
    *,
    run: str,
    assurance: Assurance = NOTHING_ASSURED,
    live: bool = False,
    checks: Sequence[Check[Any]] = ALL,
) -> Judgement:
    """The history and the findings of `run`, in one pass over `items`.

    `live` is whether its agent still writes: what may still come is then not held against the run, and coverage is not
    complete. Raises what reading the items raises, and `ValueError` if `checks` lack the coverage check.
    """
    weighed = [each.under(assurance.approved_attempts) if isinstance(each, HeldToApproved) else each for each in checks]
    expected = Expected(assurance.approved_attempts)
    judging, builder = Judging(weighed, weigh=expected.weigh), HistoryBuilder()
    for item in items:
        builder.take(item)
        expected.take(item)
        judging.take(item)
    history, ended = builder.build(), not live
    computed = merge(map(expected.judge, (*judging.findings(ended=ended), *assurance.findings)))
    findings = (*computed, *_recorded_only(history.findings, computed, expected))
    state = judging.state_of(COVERAGE)
    coverage = COVERAGE.value(state, findings, ended=ended, planned_steps=assurance.planned_steps)
    ran_all = {check.name for check in ALL} <= {check.name for check in checks}
    report = FindingsReport(
        run=run,
        verdict=_verdict(findings, coverage, assurance, ran_all=ran_all),
        coverage=coverage,
        items=findings,
    )
    return Judgement(history=history, report=report, assurance=assurance, ended=ended, ran_all=ran_all)


def verdict_of(judgement: Judgement, standing: Iterable[Finding]) -> Verdict:
    """The verdict if only the findings `standing` of this judgement counted. Coverage stays what it is."""
    return _verdict(standing, judgement.report.coverage, judgement.assurance, ran_all=judgement.ran_all)


def reaching(findings: Iterable[Finding], fail_on: Severity) -> tuple[Finding, ...]:
    """Those at or above `fail_on` that are not about coverage: each is a definite negative."""
    return tuple(each for each in findings if at_or_above(each.severity, fail_on) and not is_about_coverage(each))


def _recorded_only(
    recorded: Iterable[Recorded], computed: Sequence[Finding], expected: Expected
) -> tuple[Finding, ...]:
    """Findings that the agent wrote down and that do not follow from the records: they stand, whoever was mistaken.

    One that is computed again counts as the same only if it weighs as much: records that are gone, or were made to say
    less, do not take a warning away. The agent knows of no approvers, so that what is expected is weighed here.
    """
    weights: dict[tuple[str, str], Severity] = {}
    for found in computed:
        cause = (found.code, found.subject)
        if cause not in weights or at_or_above(found.severity, weights[cause]):
            weights[cause] = found.severity
    kept: dict[tuple[str, str], Finding] = {}
    for each in recorded:
        finding = msgspec.structs.replace(each.finding, evidence=each.finding.evidence or (each.entry,))
        finding = expected.judge(finding)
        cause, severity = (finding.code, finding.subject), finding.severity
        if cause in weights and at_or_above(weights[cause], severity):
            continue
        weights[cause] = severity
        kept[cause] = finding
    return tuple(kept.values())


def _verdict(findings: Iterable[Finding], coverage: Coverage, assurance: Assurance, *, ran_all: bool) -> Verdict:
    if reaching(findings, "warning"):
        return "affected"
    assured = assurance.seal_approved and assurance.seal_compared and assurance.environment_verified
    return "clean" if assured and coverage.complete and ran_all else "unknown"


def exit_code(report: FindingsReport, *, fail_on: Severity = "warning") -> int:
    """How `findings` ends: 1 for a finding at or above `fail_on` and not about coverage; 0 only if clean; else 3."""
    if reaching(report.items, fail_on):
        return _NEGATIVE
    return _CLEAN if report.verdict == "clean" else _INCONCLUSIVE


def verdict_sentence(judgement: Judgement) -> VerdictSentence:
    """The verdict in words, with what is still missing for proof, and the next command."""
    text = f"{_found(judgement.report)} {_missing(judgement)}".strip()
    return VerdictSentence(text=text, next_command=_next(judgement))


def _found(report: FindingsReport) -> str:
    against = reaching(report.items, "warning")
    coverage = report.coverage
    if against:
        steps = [each.first_step for each in against if each.first_step is not None]
        since = f", the first at step {min(steps)}" if steps else ""
        return f"{len(against)} {'finding' if len(against) == 1 else 'findings'}{since}."
    if coverage.steps_witnessed == 0:
        return "No training was seen."
    if coverage.steps_expected is None:
        return f"Nothing found in {coverage.steps_witnessed} steps; how many there were is not known."
    return f"Nothing found in {coverage.steps_witnessed} of {coverage.steps_expected} steps."


def _missing(judgement: Judgement) -> str:
    report, lacks = judgement.report, []
    if report.verdict == "clean":
        return ""
    if not judgement.ended:
        lacks.append("the run goes on")
    if not judgement.assurance.seal_approved:
        lacks.append("seal not approved")
    elif not judgement.assurance.seal_compared:
        lacks.append("not everything sealed could be compared")
    if not judgement.assurance.environment_verified:
        lacks.append("environment not verified")
    about = sum(is_about_coverage(each) for each in report.items)
    if about:
        lacks.append(f"coverage not complete ({about} {'finding' if about == 1 else 'findings'})")
    elif judgement.ended and not report.coverage.complete:
        lacks.append("coverage not complete")
    lead = "Not yet proof" if report.verdict == "unknown" else "Also"
    return f"{lead}: {', '.join(lacks)}." if lacks else ""


def _next(judgement: Judgement) -> str:
    run = judgement.report.run
    if not judgement.ended:
        return f"saksi show {run} --follow"
    return f"saksi findings {run}" if judgement.report.items else f"saksi verify {run}"
