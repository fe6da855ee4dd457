"""What `saksi findings` and `saksi findings suppressions` print as JSON. The screens draw the same values.

`items` are the findings that count here. Those that somebody suppressed are beside them, never left out.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime
from typing import Any, Literal, TypeAlias

import msgspec

from saksi.judgement.next_steps import next_step
from saksi.judgement.suppressions import Made, Suppressed, Suppression
from saksi.words.findings import Alleges, Coverage, Finding, FindingsReport, Severity, Verdict

__all__ = [
    "FindingLine",
    "FindingsDocument",
    "SuppressedLine",
    "SuppressionLine",
    "SuppressionsReport",
    "findings_document",
    "suppression_line",
]

State: TypeAlias = Literal["in_force", "expired", "ended"]


class _Document(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A part of a document: every field is always there."""


class FindingLine(_Document, frozen=True, kw_only=True):
    """One judgement, and what to run next. Steps are inclusive, `evidence` holds indices of log entries.

    A word in capitals in `next_command` is the reader's to fill in; `next_answers` says what the command answers.
    """

    code: str
    severity: Severity
    first_step: int | None
    last_step: int | None
    ranks: tuple[int, ...]
    subject: str
    check: str
    message: str
    alleges: Alleges
    evidence: tuple[int, ...]
    next_command: str
    next_answers: str


class SuppressionLine(_Document, frozen=True, kw_only=True):
    """Who explained what, and until when (the last day, UTC). `run` and `project` are null where any is meant.

    `account` is the number of the account that wrote it down, `owner` who answers for it.
    """

    id: str
    state: State
    code: str
    subject: str
    run: str | None
    project: str | None
    up_to: Severity
    reason: str
    owner: str
    until: date
    made: datetime
    account: int
    ended: datetime | None


class SuppressedLine(_Document, frozen=True, kw_only=True):
    """A finding that does not count here, and why."""

    finding: FindingLine
    suppression: SuppressionLine


class FindingsDocument(_Document, frozen=True, kw_only=True):
    """`saksi findings RUN --json`. `expired` are suppressions that would cover one of `items`, and are over."""

    schema: Literal["saksi.findings/v1"] = "saksi.findings/v1"
    run: str
    verdict: Verdict
    coverage: Coverage
    items: tuple[FindingLine, ...]
    suppressed: tuple[SuppressedLine, ...]
    expired: tuple[SuppressionLine, ...]


class SuppressionsReport(_Document, frozen=True, kw_only=True):
    """`saksi findings suppressions --json`: everything that was ever suppressed in this home, the oldest first."""

    schema: Literal["saksi.suppressions/v1"] = "saksi.suppressions/v1"
    suppressions: tuple[SuppressionLine, ...]


def findings_document(
    report: FindingsReport, *, suppressed: Iterable[Suppressed] = (), expired: Iterable[Made] = ()
) -> FindingsDocument:
    """Everything that is held of the run, each with what to run next. `report` holds what counts."""
    return FindingsDocument(
        run=report.run,
        verdict=report.verdict,
        coverage=report.coverage,
        items=tuple(_finding_line(each, report.run) for each in report.items),
        suppressed=tuple(
            SuppressedLine(finding=_finding_line(each.finding, report.run), suppression=_line(each.by, "in_force"))
            for each in suppressed
        ),
        expired=tuple(_line(each, "expired") for each in expired),
    )


def suppression_line(suppression: Suppression, *, now: datetime) -> SuppressionLine:
    """A suppression and what became of it by `now`."""
    made, ended = suppression
    if ended is not None:
        return _line(made, "ended", ended.at)
    return _line(made, "in_force" if suppression.in_force(now) else "expired")


def _finding_line(finding: Finding, run: str) -> FindingLine:
    step = next_step(finding.code, run)
    fields: dict[str, Any] = {name: getattr(finding, name) for name in finding.__struct_fields__}
    return FindingLine(**fields, next_command=step.command, next_answers=step.answers)


def _line(made: Made, state: State, ended: datetime | None = None) -> SuppressionLine:
    return SuppressionLine(
        id=made.id,
        state=state,
        code=made.code,
        subject=made.subject,
        run=made.run,
        project=made.project,
        up_to=made.up_to,
        reason=made.reason,
        owner=made.owner,
        until=made.until,
        made=made.at,
        account=made.account,
        ended=ended,
    )
