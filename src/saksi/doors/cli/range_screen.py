"""The range on a terminal: a line for each case and each honest variant, then what each detector makes of all."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from rich.console import Group, RenderableType
from rich.text import Text

from saksi.doors.cli.drawing import listing, render
from saksi.doors.cli.screen import Screen
from saksi.range.report import CaseLine, Judged, RangeReport, Total, VariantLine

__all__ = ["draw_range"]

_REASON: Final = 300


def draw_range(report: RangeReport, screen: Screen) -> str:
    """Everything, as text for `screen`."""
    return render(Group(*_parts(report, screen)), screen)


def _parts(report: RangeReport, screen: Screen) -> Iterator[RenderableType]:
    if report.cases:
        names = [each.detector for each in report.totals]
        rows = [[Text(each) for each in _case_cells(line, screen)] for line in report.cases]
        yield listing(("Case", "Seen by", "Step", *names), rows, right=("Step",), folding=True)
        yield Text("")
    if report.variants:
        rows = [[Text(each) for each in _variant_cells(line, screen)] for line in report.variants]
        yield listing(("Honest", "Verdict", "Alleged", "Other alarms"), rows)
        yield Text("")
    yield from (Text(each) for each in _reasons(report, screen))
    headings = ("Detector", "Found", "Object named", "Exact step", "Median error", "Honest accused")
    yield listing(headings, [[Text(each) for each in _total_cells(line)] for line in report.totals])
    yield Text("")
    yield Text(f"{report.python}. Drawn again with --seed {report.seed} --seeds {report.seeds}.", style="dim")


def _case_cells(line: CaseLine, screen: Screen) -> Iterator[str]:
    yield line.case
    yield " ".join(line.layers)
    yield "-" if line.first_step is None else str(line.first_step)
    if line.error is not None:
        yield f"failed: {screen.plain(line.error, _REASON)}"
        return
    yield from (_judged(each, screen) for each in line.judged)


def _judged(judged: Judged, screen: Screen) -> str:
    if not judged.found:
        return "told as info" if judged.told else "missed"
    step = "" if judged.first_step is None else f" at {judged.first_step}"
    other = " (another object)" if judged.object_named is False else ""
    return f"{screen.plain(', '.join(judged.by), _REASON)}{step}{other}"


def _variant_cells(line: VariantLine, screen: Screen) -> Iterator[str]:
    yield line.variant
    if line.error is not None:
        yield f"failed: {screen.plain(line.error, _REASON)}"
        return
    yield line.verdict or "-"
    yield ", ".join(dict.fromkeys(each.code for each in line.accused)) or "nothing"
    yield ", ".join(line.alarmed) or "-"


def _reasons(report: RangeReport, screen: Screen) -> Iterator[str]:
    """Why cases are missed by saksi, each once, and what failed."""
    missed = {
        line.case: line.reason or "no reason is known"
        for line in report.cases
        if line.error is None and line.judged and not line.judged[0].found
    }
    if missed:
        yield "Missed by saksi:"
        yield from (f"  {case}: {screen.plain(reason, _REASON)}" for case, reason in missed.items())
        yield ""
    if report.failed:
        yield f"{report.failed} could not be played; they are in no total."
        yield ""


def _total_cells(total: Total) -> Iterator[str]:
    yield total.detector
    yield f"{total.found} of {total.cases}"
    yield "-" if total.object_named is None else f"{total.object_named} of {total.cases}"
    yield f"{total.steps_exact} of {total.steps_given}"
    yield "-" if total.median_step_error is None else f"{total.median_step_error:g}"
    yield f"{total.variants_accused} of {total.variants}"
