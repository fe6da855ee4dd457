"""`saksi findings`: everything that is held against a run, with the evidence, and what somebody explained of it.

`saksi findings RUN` lists; three words that are no runs there make, list and end suppressions. A run that is called
like one of them is given by its id.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Final

import msgspec
import typer
from typer.core import TyperGroup

from saksi.doors.cli.documents import encode
from saksi.doors.cli.explained import explained
from saksi.doors.cli.findings_document import findings_document
from saksi.doors.cli.help_text import help_text
from saksi.doors.cli.reading import open_reading
from saksi.doors.cli.screen import screen_of_output, tell, write
from saksi.doors.cli.severity_option import severity_of
from saksi.doors.cli.suppress import register as register_suppress
from saksi.judgement.verdict import exit_code
from saksi.words.findings import at_or_above

__all__ = ["register"]

_LISTING: Final = "findings"
"""The command that is meant where none is named. As a word on the line this is a run's name like any other."""


class _FindingsGroup(TyperGroup):
    """A group whose listing command takes every line that begins with none of the other commands' names."""

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """The context of the listing command, or of the group."""
        if args and args[0] in self.commands and args[0] != _LISTING:
            return super().make_context(info_name, args, parent, **extra)
        return self.commands[_LISTING].make_context(info_name, args, parent, **extra)


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
    """List the findings of a run, and what to run next for each.

    Ends with 0 if it is clean, 1 if something was found, 3 if not all is known. What is suppressed in this home is
    listed apart and does not count: `saksi findings suppress`, `suppressions` and `unsuppress` (each has --help).
    """
    floor, least = severity_of(fail_on, "--fail-on"), severity_of(severity, "--severity")
    reading = open_reading(run)
    if reading.short is not None:
        tell(f"the log of run {reading.run} is not whole: {reading.short} (saksi fsck {reading.run})")
    judgement, apart = explained(reading, now=datetime.now(UTC))
    report = judgement.report
    shown = msgspec.structs.replace(report, items=tuple(i for i in report.items if at_or_above(i.severity, least)))
    document = findings_document(shown, suppressed=apart.suppressed, expired=apart.expired)
    if as_json:
        write(encode(document))
        return exit_code(report, fail_on=floor)
    from saksi.doors.cli.drawing import render  # noqa: PLC0415 - rich only where something is drawn
    from saksi.doors.cli.findings_screen import draw_findings  # noqa: PLC0415 - as above

    screen = screen_of_output()
    write(render(draw_findings(document, screen, left_out=len(report.items) - len(shown.items)), screen))
    return exit_code(report, fail_on=floor)


def register(app: typer.Typer) -> None:
    """Add the group."""
    group = typer.Typer(
        cls=_FindingsGroup,
        help=help_text("List findings, and suppress what is explained.", "saksi findings last"),
        rich_markup_mode=None,
        no_args_is_help=False,
    )
    group.command(_LISTING, help=help_text(findings, "saksi findings last --fail-on critical"))(findings)
    register_suppress(group)
    app.add_typer(group, name="findings")
