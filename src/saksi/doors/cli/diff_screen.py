"""Two runs side by side: what should have run, then the first place where what did run parts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec
from rich.console import Group, RenderableType
from rich.text import Text

from saksi.doors.cli.distance_rows import distance_rows
from saksi.doors.cli.drawing import grid, listing
from saksi.doors.cli.screen import Screen
from saksi.judgement.continuation.values import Continuation, Part
from saksi.judgement.diff import Difference, FirstDifference

__all__ = ["draw_diff"]

_SEALS: Final = 12
_FIELDS: Final = 8
_NAMED: Final = 2
_OF_TENSORS: Final = ("parameters", "optimizer_state", "update_counters", "averages", "buffers")
_OUTCOMES: Final = {"same": ("same", "green"), "differs": ("differs", "bold red"), "not_checkable": ("not known", "")}


def draw_diff(found: Difference, screen: Screen) -> RenderableType:
    """The answer first, then what it rests on."""
    parts: list[RenderableType] = [
        grid((("A", Text(found.a, style="bold")), ("B", Text(found.b, style="bold")))),
        Text(""),
        Text("Seals", style="dim"),
        *_seals(found, screen),
        Text(""),
        Text("Records", style="dim"),
        Text(screen.plain(found.sentence, 600), style="bold" if found.first or found.continuation else ""),
    ]
    if found.continuation is not None:
        parts += [Text(""), _continuation(found.continuation, screen)]
    if found.first is not None:
        parts += [Text(""), _first(found.first, screen)]
        if found.first.fields_omitted or len(found.first.fields) > _FIELDS:
            more = len(found.first.fields) - _FIELDS + found.first.fields_omitted
            parts.append(Text(f"{more:,} more fields: saksi diff {found.a} {found.b} --json", style="dim"))
    if found.distance is not None and (rows := distance_rows(found.distance)):
        parts += [Text(""), grid(rows)]
    return Group(*parts)


def _seals(found: Difference, screen: Screen) -> Iterator[Text]:
    if not found.seals_compared:
        yield Text("The seals could not be read, so they were not compared.", style="yellow")
    elif not found.seal:
        yield Text("What should run is the same in both: no difference between the seals.")
    for each in found.seal[:_SEALS]:
        yield Text(f"{each.group}: ", style="dim").append(screen.plain(each.sentence, 300), style="not dim")
    if len(found.seal) > _SEALS:
        yield Text(f"{len(found.seal) - _SEALS:,} more: saksi diff {found.a} {found.b} --json", style="dim")


def _continuation(found: Continuation, screen: Screen) -> RenderableType:
    rows = (
        [
            Text(each.name.replace("_", " ")),
            Text(_OUTCOMES[each.outcome][0], style=_OUTCOMES[each.outcome][1]),
            Text(screen.plain(each.sentence, 300) + _examples(each, screen)),
        ]
        for each in found.parts
    )
    return listing(("Part", "", "What"), rows)


def _examples(part: Part, screen: Screen) -> str:
    named = [screen.plain(each, 60) for each in part.examples[:_NAMED]] if part.name in _OF_TENSORS else []
    return f": {', '.join(named)}{', ' + screen.more if part.differing > len(named) else ''}" if named else ""


def _first(first: FirstDifference, screen: Screen) -> RenderableType:
    rows = (
        [Text(screen.plain(each.field, 60)), Text(_value(each.a, screen)), Text(_value(each.b, screen))]
        for each in first.fields[:_FIELDS]
    )
    return listing(("Field", "A", "B"), rows, folding=True)


def _value(value: object, screen: Screen) -> str:
    if value is None:
        return "not there"
    return screen.plain(value if isinstance(value, str) else msgspec.json.encode(value).decode(), 60)
