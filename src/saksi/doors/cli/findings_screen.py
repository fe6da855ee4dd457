"""Findings on a terminal: what was covered, then one block for each finding, with its evidence."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.text import Text

from saksi.doors.cli.drawing import VERDICT_STYLES, finding_rows
from saksi.doors.cli.screen import Screen
from saksi.words.findings import FindingsReport

__all__ = ["draw_findings"]


def draw_findings(report: FindingsReport, screen: Screen, *, left_out: int = 0) -> RenderableType:
    """The verdict, the coverage and every finding; `left_out` are of less severity than was asked for."""
    coverage = report.coverage
    expected = "an unknown number of" if coverage.steps_expected is None else f"{coverage.steps_expected:,}"
    verdict = Text("Verdict: ").append(report.verdict, style=VERDICT_STYLES[report.verdict])
    verdict.append(f". {coverage.steps_witnessed:,} of {expected} steps witnessed, coverage ")
    verdict.append("complete." if coverage.complete else "not complete.")
    less = [Text(f"{left_out} of less severity left out.", style="dim")] if left_out else []
    if not report.items:
        return Group(verdict, Text("No finding."), *less)
    entries = Text(f"Evidence is in the log: saksi findings {report.run} --json names the entries.", style="dim")
    return Group(verdict, Text(""), finding_rows(report.items, screen), Text(""), *less, entries)
