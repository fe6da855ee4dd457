"""The attempts of a run on the screen: a line for each, and beneath it what it continued from and its restarts.

All of them in order where they fit; else the newest first, and how many earlier ones there are.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from rich.console import RenderableType
from rich.padding import Padding
from rich.text import Text

from saksi.doors.cli.documents import AttemptLine, GroupLine, ShowReport
from saksi.doors.cli.screen import Screen, duration, size

__all__ = ["attempt_rows"]

_LINES: Final = 12
_LINES_LOW: Final = 6
_LOW: Final = 40  # rows of a window in which a screen with everything does not fit
_DETAILS: Final = 4  # for one attempt; with `RUN@N` there is room for more
_DETAILS_ALONE: Final = 16
_INDENT: Final = 3


def attempt_rows(report: ShowReport, screen: Screen) -> Iterator[tuple[str, RenderableType]]:
    """Label and text of each line."""
    alone = report.attempt is not None
    blocks = [_block(each, report, screen, _DETAILS_ALONE if alone else _DETAILS) for each in report.attempts]
    room = _LINES_LOW if screen.height is not None and screen.height < _LOW else _LINES
    shown = blocks
    if not alone and sum(map(len, blocks)) > room:
        shown = []
        for block in reversed(blocks):
            if shown and sum(map(len, shown)) + len(block) >= room:
                break
            shown.append(block)
    lines = [line for block in shown for line in block]
    if len(shown) < len(blocks):
        earlier = f"{len(blocks) - len(shown)} earlier, the newest is first: saksi show {report.run} --json"
        lines.append(Text(earlier, style="dim"))
    for at, line in enumerate(lines):
        yield "Attempts" if at == 0 else "", line


def _block(attempt: AttemptLine, report: ShowReport, screen: Screen, limit: int) -> list[RenderableType]:
    joined = [] if attempt.joined_by is None else [Text(screen.plain(f"as it says, {attempt.joined_by}", 300))]
    details = [*joined, *_loaded(attempt, screen), *_restarts(attempt, screen), *_capsules(attempt, screen)]
    if len(details) > limit:
        left = len(details) - limit + 1
        more = f"{left} more: saksi show {report.run}@{attempt.number}"
        details = [*details[: limit - 1], Text(more, style="dim")]
    return [_attempt(attempt, report, screen), *(Padding(each, (0, 0, 0, _INDENT)) for each in details)]


def _attempt(attempt: AttemptLine, report: ShowReport, screen: Screen) -> Text:
    last = attempt is report.attempts[-1]
    end = attempt.end or ("goes on" if last and report.state == "running" else "end not recorded")
    after = "" if attempt.elapsed_seconds is None else f" after {duration(attempt.elapsed_seconds)}"
    by = "" if attempt.ended_by is None else f" ({attempt.ended_by})"
    parts = [f"{attempt.number}: {screen.moment(attempt.started)}"]
    if attempt.last_step is not None:
        restarted = sum(each.beginning == "restart" for each in attempt.groups)
        parts.append(_ranks(attempt.ranks))
        parts.append(_steps(attempt.first_step, attempt.last_step, attempt.steps_before))
        if restarted:
            parts.append(f"{restarted} {'restart' if restarted == 1 else 'restarts'}")
    if attempt.saved:
        parts.append(f"{attempt.saved:,} saved")
    return Text(screen.plain(f"{', '.join(parts)}, {end}{after}{by}"))


def _ranks(count: int) -> str:
    return f"{count:,} {'rank' if count == 1 else 'ranks'}"


def _steps(first: int | None, last: int | None, before: int) -> str:
    if last is None:
        return "no steps"
    begin = 0 if first is None else first
    text = f"step {last:,}" if begin == last else f"steps {begin:,} to {last:,}"
    return f"{text} ({begin + before:,} to {last + before:,} of the run)" if before else text


def _loaded(attempt: AttemptLine, screen: Screen) -> Iterator[Text]:
    for each in attempt.loaded:
        style = "yellow" if each.origin == "changed" else ""
        yield Text(screen.plain(each.sentence, 300), style=style)


def _capsules(attempt: AttemptLine, screen: Screen) -> Iterator[Text]:
    found = attempt.capsules
    if found is None:
        return
    words = f"{found.kept:,} of {found.written:,} capsules kept"
    if found.first_step is not None and found.last_step is not None:
        words += f", {size(found.bytes)}, behind steps {found.first_step:,} to {found.last_step:,}"
    if found.unread:
        words += f"; {found.unread:,} not read by the agent: {found.unread_reason}"
    yield Text(screen.plain(words if found.reason is None else f"{words}; no more: {found.reason}", 300))


def _restarts(attempt: AttemptLine, screen: Screen) -> Iterator[Text]:
    before: GroupLine | None = None
    for each in attempt.groups:
        if before is not None:
            yield Text(_restart(before, each, screen))
        before = each


def _restart(before: GroupLine, group: GroupLine, screen: Screen) -> str:
    world = (
        f"world size {group.world_size}"
        if before.world_size == group.world_size
        else f"world size {before.world_size} {screen.arrow} {group.world_size}"
    )
    lead = {
        "restart": f"restart {group.number} of the rank group",
        "beside": f"rank group {group.number} beside the one before",
    }.get(group.beginning, f"rank group {group.number}, another command")
    steps = _steps(group.first_step, group.last_step, group.steps_before)
    return f"{lead} at {screen.moment(group.started, '%H:%M:%S')}: {world}, {steps}"
