"""Findings on a terminal: what was covered, then one block for each finding, with what to run next.

What is suppressed comes after what counts, with who explained it and until when.
"""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from saksi.doors.cli.drawing import SEVERITY_STYLES, VERDICT_STYLES, finding_head
from saksi.doors.cli.findings_document import FindingLine, FindingsDocument, SuppressionLine, SuppressionsReport
from saksi.doors.cli.screen import Screen

__all__ = ["draw_findings", "draw_suppressions"]


def draw_findings(report: FindingsDocument, screen: Screen, *, left_out: int = 0) -> RenderableType:
    """The verdict, the coverage and every finding; `left_out` are of less severity than was asked for."""
    coverage = report.coverage
    expected = "an unknown number of" if coverage.steps_expected is None else f"{coverage.steps_expected:,}"
    verdict = Text("Verdict: ").append(report.verdict, style=VERDICT_STYLES[report.verdict])
    verdict.append(f". {coverage.steps_witnessed:,} of {expected} steps witnessed, coverage ")
    verdict.append("complete." if coverage.complete else "not complete.")
    parts: list[RenderableType] = [verdict]
    if report.items:
        parts += [Text(""), _rows([(each, _next(each, screen)) for each in report.items], screen), Text("")]
    if left_out:
        parts.append(Text(f"{left_out} of less severity left out.", style="dim"))
    if not report.items:
        parts.append(Text("No finding." if not report.suppressed else "No finding that counts."))
    parts += [
        Text(screen.plain(f"A suppression is over since {each.until}: {each.id}, {each.code}, by {each.owner}."))
        for each in report.expired
    ]
    if report.suppressed:
        rows = [(each.finding, _because(each.suppression, screen)) for each in report.suppressed]
        parts += [Text(""), Text("Suppressed in this home; these do not count:"), _rows(rows, screen), Text("")]
    if report.items or report.suppressed:
        parts.append(
            Text(f"Evidence is in the log: saksi findings {report.run} --json names the entries.", style="dim")
        )
    return Group(*parts)


def draw_suppressions(report: SuppressionsReport, screen: Screen) -> RenderableType:
    """Every suppression, one block each."""
    if not report.suppressions:
        return Text("Nothing is suppressed in this home.")
    table = Table.grid(padding=(0, 2, 0, 0), expand=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for each in report.suppressions:
        head = Text(f"{each.id}  {each.code}", style="bold" if each.state == "in_force" else "dim")
        head.append(f"  {screen.plain(each.subject, 200)}", style="not bold dim")
        head.append(f"\n{_scope(each, screen)}, up to {each.up_to}; {_because(each, screen)}", style="not bold")
        if each.ended is not None:
            head.append(f"\nended {screen.moment(each.ended)}", style="not bold")
        table.add_row(Text(each.state.replace("_", " ")), head)
    return table


def _rows(findings: list[tuple[FindingLine, str]], screen: Screen) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0), expand=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for each, more in findings:
        head = finding_head(each, screen).append(f"\n{more}", style="not bold dim")
        table.add_row(Text(each.severity, style=SEVERITY_STYLES.get(each.severity, "")), head)
    return table


def _next(finding: FindingLine, screen: Screen) -> str:
    return screen.plain(f"Next: {finding.next_command} ({finding.next_answers})")


def _because(suppression: SuppressionLine, screen: Screen) -> str:
    who = f"by {suppression.owner}, account {suppression.account}, {screen.moment(suppression.made, '%Y-%m-%d')}"
    return screen.plain(f"suppressed until {suppression.until}, because {suppression.reason} ({who})", 600)


def _scope(suppression: SuppressionLine, screen: Screen) -> str:
    run = "every run" if suppression.run is None else f"run {suppression.run}"
    return run if suppression.project is None else screen.plain(f"{run} of project {suppression.project}")
