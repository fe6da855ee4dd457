"""`saksi findings suppress`, `suppressions`, `unsuppress`: what somebody explained, for a time, in this home."""

from __future__ import annotations

import os
import re
from datetime import UTC, date, datetime
from typing import Annotated, Final

import typer

from saksi.doors.cli.documents import encode
from saksi.doors.cli.findings_document import SuppressionsReport, suppression_line
from saksi.doors.cli.help_text import help_text
from saksi.doors.cli.reading import find, judged, open_reading, scope_of
from saksi.doors.cli.screen import screen_of_output, tell, write
from saksi.doors.cli.severity_option import severity_of
from saksi.edges.home import resolve_home
from saksi.edges.suppressions import add_suppression, end_suppression, read_suppressions
from saksi.judgement.configuration import check_label
from saksi.judgement.suppressions import (
    MAX_DAYS,
    MAX_LABEL,
    MAX_TEXT,
    Made,
    Suppression,
    check_made,
    set_apart,
    suppressible,
)
from saksi.words.errors import UsageError
from saksi.words.findings import CODES

__all__ = ["register"]

_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)


def suppress(
    code: Annotated[str, typer.Argument(metavar="CODE", help="The code of the findings, such as live.hook_added.")],
    *,
    subject: Annotated[
        str, typer.Option(metavar="S", help="Their subject, as the finding says it; * stands for any text.")
    ],
    reason: Annotated[str, typer.Option(metavar="R", help="What explains them.")],
    owner: Annotated[str, typer.Option(metavar="O", help="Who answers for that: a team, a role, or a key's name.")],
    until: Annotated[str, typer.Option(metavar="DATE", help="The last day on which it holds, as YYYY-MM-DD, UTC.")],
    run: Annotated[str | None, typer.Option(metavar="RUN", help="Only in this run.")] = None,
    project: Annotated[str | None, typer.Option(metavar="P", help="Only in runs of this project.")] = None,
    up_to: Annotated[
        str, typer.Option(metavar="SEVERITY", help="Cover findings up to this severity; graver ones count.")
    ] = "warning",
) -> int:
    """Say that some findings are explained: they are shown apart and do not count until DATE.

    Written down for good in the home; the record of the run is not changed, and others who verify it see everything.
    """
    now = datetime.now(UTC)
    if code not in CODES:
        raise UsageError(f"no finding has the code {code[:80]!r}", remedy="`saksi findings RUN` prints the codes")
    if not suppressible(code):
        raise UsageError(
            f"{code} is about the witness itself or a signature, and is never suppressed", remedy="saksi verify RUN"
        )
    graver, last_day = severity_of(up_to, "--up-to"), _day(until)
    meant = None if run is None else find(run)
    for option, text, limit in (
        ("--subject", subject, MAX_TEXT),
        ("--reason", reason, MAX_TEXT),
        ("--owner", owner, MAX_LABEL),
    ):
        if not text.strip() or len(text) > limit or not text.isprintable():
            raise UsageError(f"{option}: not 1 to {limit} characters that can be shown", remedy="say it in one line")
    if project is not None:
        check_label(project, what="--project")

    def made(identity: str) -> Made:
        act = Made(
            id=identity,
            at=now,
            account=os.geteuid(),
            code=code,
            subject=subject,
            run=meant,
            project=project,
            up_to=graver,
            reason=reason,
            owner=owner,
            until=last_day,
        )
        against = check_made(act)
        if against is not None:
            raise UsageError(f"this cannot be suppressed: {against}", remedy=f"at most {MAX_DAYS} days, from today on")
        return act

    act = add_suppression(resolve_home(os.environ), made)
    screen = screen_of_output()
    write(screen.plain(f"{act.id}: {act.code} of {act.subject} suppressed until {act.until}, by {act.owner}", 1200))
    if meant is not None and not _covers_any(act, meant):
        tell(f"it covers no finding of run {meant} as it is now (saksi findings {meant} --json has whole subjects)")
    return 0


def _covers_any(act: Made, run: str) -> bool:
    reading = open_reading(run)
    found = set_apart(judged(reading).report.items, [Suppression(act, None)], scope_of(reading), now=act.at)
    return bool(found.suppressed)


def suppressions(
    *, as_json: Annotated[bool, typer.Option("--json", help="One JSON object: saksi.suppressions/v1.")] = False
) -> int:
    """List everything that was ever suppressed in this home.

    Also what is over or was ended: nothing is taken out of the list.
    """
    now = datetime.now(UTC)
    found = read_suppressions(resolve_home(os.environ))
    report = SuppressionsReport(suppressions=tuple(suppression_line(each, now=now) for each in found))
    if as_json:
        write(encode(report))
        return 0
    from saksi.doors.cli.drawing import render  # noqa: PLC0415 - rich only where something is drawn
    from saksi.doors.cli.findings_screen import draw_suppressions  # noqa: PLC0415 - as above

    screen = screen_of_output()
    write(render(draw_suppressions(report, screen), screen))
    return 0


def unsuppress(
    identity: Annotated[str, typer.Argument(metavar="ID", help="The suppression's id, or the start of it.")],
) -> int:
    """End a suppression before its time: what it covered counts again."""
    home = resolve_home(os.environ)
    act = end_suppression(home, identity, now=datetime.now(UTC), account=os.geteuid())
    write(screen_of_output().plain(f"{act.id}: {act.code} of {act.subject} counts again", 1200))
    return 0


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text if _DATE.fullmatch(text) else "")
    except ValueError:
        raise UsageError(f"--until {text[:80]!r} is not a day", remedy="write it as 2027-03-31") from None


def register(group: typer.Typer) -> None:
    """Add the commands to the group of `saksi findings`."""
    example = (
        "saksi findings suppress live.hook_added --subject 'ema.*' --reason 'EMA of our own' --owner training-team "
        "--until 2027-03-31"
    )
    group.command("suppress", help=help_text(suppress, example))(suppress)
    group.command("suppressions", help=help_text(suppressions, "saksi findings suppressions"))(suppressions)
    group.command("unsuppress", help=help_text(unsuppress, "saksi findings unsuppress 1f2e3d4c"))(unsuppress)
