"""`saksi runs`: every run there is, in one list."""

from __future__ import annotations

from typing import Annotated

import typer

from saksi.doors.cli.documents import RunLine, RunsReport, encode
from saksi.doors.cli.help_text import help_text
from saksi.doors.cli.progress import progress
from saksi.doors.cli.reading import catalogue, judged, open_reading, seal_of
from saksi.doors.cli.screen import screen_of_output, write
from saksi.doors.cli.summary import run_line, unreadable_line
from saksi.words.errors import SaksiError

__all__ = ["register"]


def runs(*, as_json: Annotated[bool, typer.Option("--json", help="One JSON object: saksi.runs/v1.")] = False) -> int:
    """List all runs. The newest is the last."""
    found = catalogue()
    lines = [_line(run) for run in progress(sorted(found), "reading runs")]
    report = RunsReport(runs=tuple(sorted(lines, key=_began)))
    if as_json:
        write(encode(report))
        return 0
    from saksi.doors.cli.drawing import render  # noqa: PLC0415 - rich only where something is drawn
    from saksi.doors.cli.runs_table import draw_runs  # noqa: PLC0415 - as above

    screen = screen_of_output()
    write(render(draw_runs(report, screen), screen))
    return 0


def _line(run: str) -> RunLine:
    try:
        reading = open_reading(run)
        return run_line(judged(reading), seal_of(reading), short=reading.short)
    except SaksiError as error:
        return unreadable_line(run, error)


def _began(line: RunLine) -> tuple[str, str]:
    return ("" if line.started is None else line.started.isoformat(), line.run)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("runs", help=help_text(runs, "saksi runs"))(runs)
