"""The list of runs as a table, and below a certain width as blocks."""

from __future__ import annotations

from typing import Final

from rich.console import Group, RenderableType
from rich.text import Text

from saksi.doors.cli.documents import RunLine, RunsReport
from saksi.doors.cli.drawing import VERDICT_STYLES, listing
from saksi.doors.cli.screen import Screen

__all__ = ["draw_runs"]

_TABLE_WIDTH: Final = 100
_HEADINGS: Final = ("Run", "Name", "Project", "When", "State", "Steps", "Verdict")


def draw_runs(report: RunsReport, screen: Screen) -> RenderableType:
    """All runs, the oldest first: the newest is what a person sees above the prompt."""
    if not report.runs:
        return Group(Text("There is no run yet."), Text("Next: saksi run -- python train.py"))
    if screen.width < _TABLE_WIDTH:
        return Group(*(_block(each, screen) for each in report.runs))
    rows = ([_id(each), *_cells(each, screen), _sentence(each, screen)] for each in report.runs)
    return listing(_HEADINGS, rows, right=("Steps",))


def _id(line: RunLine) -> Text:
    return Text(line.run, style="bold")


def _cells(line: RunLine, screen: Screen) -> list[Text]:
    names = [Text(screen.plain(each or "-", 20)) for each in (line.name, line.project)]
    return [*names, Text(screen.moment(line.started)), Text(line.state), Text(_steps(line))]


def _steps(line: RunLine) -> str:
    if line.error is not None:
        return "-"
    expected = "?" if line.steps_expected is None else f"{line.steps_expected}"
    return f"{line.steps_witnessed}/{expected}"


def _sentence(line: RunLine, screen: Screen) -> Text:
    if line.error is not None:
        return Text(f"not readable: {screen.plain(line.error, 200)}", style="yellow")
    return Text(screen.plain(line.sentence, 200), style=VERDICT_STYLES[line.verdict])


def _block(line: RunLine, screen: Screen) -> Text:
    name, project, when, state, steps = (each.plain for each in _cells(line, screen))
    head = _id(line).append(f"  {name}  {project}  {when}  {state}  {steps}\n", style="not bold dim")
    return head.append_text(_sentence(line, screen))
