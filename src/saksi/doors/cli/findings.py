"""`saksi findings`: everything that is held against a run, with the evidence."""

from __future__ import annotations

from typing import Annotated

import msgspec
import typer

from saksi.doors.cli.documents import encode
from saksi.doors.cli.help_text import help_text
from saksi.doors.cli.reading import judged, open_reading
from saksi.doors.cli.screen import screen_of_output, tell, write
from saksi.judgement.verdict import exit_code
from saksi.words.errors import UsageError
from saksi.words.findings import SEVERITIES, Severity, at_or_above

__all__ = ["register"]


def findings(
    run: Annotated[str, typer.Argument(metavar="RUN", help="Id, unique prefix, name, or `last`.")],
    *,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object: saksi.findings/v1.")] = False,
    fail_on: Annotated[
        str, typer.Option(metavar="SEVERITY", help="End with 1 from this severity on: info, warning or critical.")
    ] = "warning",
    severity: Annotated[
        str, typer.Option(metavar="SEVERITY", help="List only findings from this severity on.")
    ] = "info",
) -> int:
    """List the findings of a run.

    Ends with 0 if it is clean, 1 if something was found, 3 if not all is known.
    """
    floor, least = _severity(fail_on, "--fail-on"), _severity(severity, "--severity")
    reading = open_reading(run)
    if reading.short is not None:
        tell(f"the log of run {reading.run} is not whole: {reading.short} (saksi fsck {reading.run})")
    report = judged(reading).report
    shown = msgspec.structs.replace(report, items=tuple(i for i in report.items if at_or_above(i.severity, least)))
    if as_json:
        write(encode(shown))
        return exit_code(report, fail_on=floor)
    from saksi.doors.cli.drawing import render  # noqa: PLC0415 - rich only where something is drawn
    from saksi.doors.cli.findings_screen import draw_findings  # noqa: PLC0415 - as above

    screen = screen_of_output()
    write(render(draw_findings(shown, screen, left_out=len(report.items) - len(shown.items)), screen))
    return exit_code(report, fail_on=floor)


def _severity(text: str, option: str) -> Severity:
    for each in SEVERITIES:
        if each == text:
            return each
    raise UsageError(f"{option} {text[:80]!r} is not a severity", remedy=f"one of {', '.join(SEVERITIES)}")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("findings", help=help_text(findings, "saksi findings last --fail-on critical"))(findings)
