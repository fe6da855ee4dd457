"""One screen for one run: the verdict in words, what it rests on, what happened, what was found."""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterator
from typing import Final

from rich.console import Group, RenderableType
from rich.text import Text

from saksi.doors.cli.attempts_screen import attempt_rows
from saksi.doors.cli.documents import EventLine, ShowReport
from saksi.doors.cli.drawing import VERDICT_STYLES, finding_rows, grid
from saksi.doors.cli.screen import Screen, duration
from saksi.doors.cli.sparkline import column_of, sparkline
from saksi.judgement.series import Series
from saksi.words.findings import at_or_above, is_about_coverage

__all__ = ["draw_show"]

_DRAWN: Final = (("loss", "Loss"), ("step_seconds", "Step time"))
_FINDINGS: Final = 5
_RANKS: Final = 4
_EVENTS: Final = 10
_ELSEWHERE: Final = ("attempt_key", "finding")  # shown as attempts, and below as findings
_FEWEST_EVENTS: Final = 4
_OTHER_LINES: Final = 26  # what the rest of a full screen takes
_SPARK: Final = 48
_SPARE: Final = 54  # label, and the numbers beside a sparkline
_SPARE_NARROW: Final = 36  # where only the first and the last number are given
_NARROW: Final = 72


def draw_show(report: ShowReport, screen: Screen) -> RenderableType:
    """The whole screen."""
    blank = Text("")
    parts: list[RenderableType] = [_title(report, screen), *_command(report, screen), blank]
    parts += [_verdict(report, screen), _next(report, screen), blank]
    parts += [grid((*_facts(report, screen), *_series(report, screen)))]
    if report.events:
        parts += [blank, _heading("Events"), _events(report, screen)]
    if report.findings:
        parts += [blank, _heading("Findings"), finding_rows(report.findings[:_FINDINGS], screen)]
        left = len(report.findings) - _FINDINGS
        if left > 0:
            parts.append(Text(f"{left} more: saksi findings {report.run}", style="dim"))
    if report.suppressed:
        count = f"{report.suppressed} finding{'s are' if report.suppressed > 1 else ' is'}"
        told = f"{count} suppressed in this home, and not counted: saksi findings {report.run}"
        parts += [blank, Text(told, style="dim")]
    return Group(*parts)


def _heading(text: str) -> Text:
    return Text(text, style="dim")


def _title(report: ShowReport, screen: Screen) -> Text:
    title = Text("Run ").append(report.run, style="bold")
    if report.name is not None:
        title.append(f"  {screen.plain(report.name, 128)}", style="bold")
    if report.attempt is not None:
        title.append(f"  attempt {report.attempt}")
    if report.project is not None:
        title.append(f"  project {screen.plain(report.project, 128)}")
    return title.append(f"  {screen.moment(report.started)}  {report.state}", style="dim")


def _command(report: ShowReport, screen: Screen) -> Iterator[Text]:
    if report.command:
        yield Text(screen.plain(shlex.join(report.command), 200), style="dim")


def _verdict(report: ShowReport, screen: Screen) -> Text:
    return Text(screen.plain(report.sentence), style=VERDICT_STYLES[report.verdict])


def _next(report: ShowReport, screen: Screen) -> Text:
    return Text("Next: ").append(screen.plain(report.next_command), style="bold")


def _facts(report: ShowReport, screen: Screen) -> Iterator[tuple[str, RenderableType]]:
    coverage = report.coverage
    expected = "an unknown number of" if coverage.steps_expected is None else f"{coverage.steps_expected:,}"
    words = f"{coverage.steps_witnessed:,} of {expected} steps, {_many(coverage.ranks, 'rank')}, "
    words += (
        f"{_many(coverage.dropped_records, 'record')} dropped, {'complete' if coverage.complete else 'not complete'}"
    )
    yield "Coverage", Text(words)
    if coverage.not_checkable:
        yield "", Text(f"not checkable: {screen.plain(', '.join(coverage.not_checkable))}")
    yield "Evidence", Text(f"level {report.evidence.level}: {screen.plain(report.evidence.sentence)}")
    yield from attempt_rows(report, screen)


def _many(count: int, word: str) -> str:
    return f"{count:,} {word}{'' if count == 1 else 's'}"


def _series(report: ShowReport, screen: Screen) -> Iterator[tuple[str, Text]]:
    for name, label in _DRAWN:
        drawn = [each for each in report.series if each.name == name]
        for at, each in enumerate(drawn[:_RANKS]):
            yield label if at == 0 else "", _one_series(each, screen, several=len(drawn) > 1)
            mark = _mark(report, each, screen, several=len(drawn) > 1)
            if mark is not None:
                yield "", mark
        if len(drawn) > _RANKS:
            yield "", Text(f"{len(drawn) - _RANKS} more ranks", style="dim")


def _mark(report: ShowReport, series: Series, screen: Screen, *, several: bool) -> Text | None:
    """Below the picture of a rank: where the first finding about what it did begins."""
    steps = [
        each.first_step
        for each in report.findings
        if each.first_step is not None
        and (series.rank in each.ranks or not each.ranks)
        and at_or_above(each.severity, "warning")
        and not is_about_coverage(each)
    ]
    drawn = [step for step, mean in series.points if math.isfinite(mean)]
    if not steps or not drawn:
        return None
    place = max((at for at, step in enumerate(drawn) if step <= min(steps)), default=0)
    prefix, width = _room(series, screen, several=several)
    column = column_of(place, len(drawn), width=width)
    return Text(" " * (len(prefix) + column) + f"{screen.caret} finding, step {min(steps):,}", style="yellow")


def _room(series: Series, screen: Screen, *, several: bool) -> tuple[str, int]:
    """What stands before a picture, and how many columns it may have."""
    prefix = f"rank {series.rank} " if several else ""
    spare = _SPARE if screen.width >= _NARROW else _SPARE_NARROW
    return prefix, min(_SPARK, screen.width - spare - len(prefix))


def _one_series(series: Series, screen: Screen, *, several: bool) -> Text:
    wide = screen.width >= _NARROW
    prefix, width = _room(series, screen, several=several)
    line = Text(prefix)
    line.append(sparkline([mean for _, mean in series.points], width=width, unicode=screen.unicode), style="cyan")
    seconds = series.name == "step_seconds"
    if series.first is not None and series.last is not None:
        line.append(f" {_number(series.first, seconds)} {screen.arrow} {_number(series.last, seconds)}")
        if wide and series.low is not None and series.high is not None:
            extreme = series.high if seconds else series.low
            line.append(f", {'longest' if seconds else 'lowest'} {_number(extreme, seconds)}", style="dim")
    if series.unbounded:
        line.append(f", {series.unbounded:,} not finite", style="yellow")
    return line


def _number(value: float, seconds: bool) -> str:  # noqa: FBT001 - private, and the two callers name it
    return duration(value) if seconds else f"{value:.4g}"


def _events(report: ShowReport, screen: Screen) -> RenderableType:
    room = _EVENTS if screen.height is None else min(max(screen.height - _OTHER_LINES, _FEWEST_EVENTS), _EVENTS)
    events, omitted = tuple(each for each in report.events if each.kind not in _ELSEWHERE), report.events_omitted
    if len(events) <= room and not omitted:
        return grid(_event_rows(events, screen))
    first, last = events[: room // 2], events[-(room - room // 2) :]
    between = len(events) - len(first) - len(last) + omitted
    more = (screen.more, Text(f"{between:,} more: saksi show {report.run} --json", style="dim"))
    return grid((*_event_rows(first, screen), more, *_event_rows(last, screen)))


def _event_rows(events: tuple[EventLine, ...], screen: Screen) -> Iterator[tuple[str, Text]]:
    for each in events:
        text = Text("" if each.step is None or each.step < 0 else f"step {each.step}: ", style="dim")
        yield screen.moment(each.at, "%H:%M:%S"), text.append(screen.plain(each.text, 160), style="not dim")
