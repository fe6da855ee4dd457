"""The report of `saksi env verify` on one screen: the verdict and what it means, then what it rests on."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from rich.console import Group, RenderableType
from rich.text import Text

from saksi.doors.cli.drawing import grid, render
from saksi.doors.cli.screen import Screen, size
from saksi.judgement.environment.report import (
    EnvironmentDifference,
    EnvironmentReport,
    EnvironmentVerdict,
    NotChecked,
    RootLine,
)

__all__ = ["draw_report"]

_STYLES: Final[dict[EnvironmentVerdict, str]] = {
    "verified": "green",
    "self-consistent": "green",
    "differs": "bold red",
    "not_checkable": "bold",
}
_SHOWN: Final = 12


def draw_report(report: EnvironmentReport, screen: Screen) -> str:
    """The report as text."""
    python = report.python
    head = Text(f"{screen.plain(python.path)}: ")
    head.append(report.verdict, style=_STYLES[report.verdict])
    said = f"{python.implementation} {python.version}" if python.version else "it could not be asked"
    rows: list[tuple[str, RenderableType]] = [("python", Text(screen.plain(f"{said}, {python.prefix}")))]
    rows += _labelled("files", (_root(each, screen) for each in report.roots))
    rows += _labelled("bytecode", _bytecode(report))
    rows += _labelled("differs", _differences(report.differences, screen))
    rows += _labelled("unchecked", _capped([_reason(each, screen) for each in _by_reason(report)]))
    rows += _labelled("trusted", (Text(screen.plain(each)) for each in report.trusted))
    rows += _labelled("noted", _capped([_note(each.files, each.path, each.message, screen) for each in report.notes]))
    if report.tree is not None:
        rows.append(("tree", Text(report.tree, style="dim")))
    next_command = _next(report)
    if next_command:
        rows.append(("next", Text(next_command)))
    return render(Group(head, Text(screen.plain(report.sentence, 600)), Text(""), grid(rows)), screen)


def _labelled(label: str, lines: Iterable[Text]) -> list[tuple[str, RenderableType]]:
    return [(label if at == 0 else "", each) for at, each in enumerate(lines)]


def _capped(lines: list[Text]) -> list[Text]:
    more = len(lines) - _SHOWN
    return lines if more <= 0 else [*lines[:_SHOWN], Text(f"{more:,} more: --json", style="dim")]


def _root(root: RootLine, screen: Screen) -> Text:
    text = Text(f"{root.label}: {root.files:,} files, {size(root.bytes)}", style="bold")
    matched = f", {root.matched:,} as listed" if root.matched else ""
    text.append(f"{matched}  {screen.plain(root.folder)}", style="not bold")
    return text


def _bytecode(report: EnvironmentReport) -> list[Text]:
    counts = report.bytecode
    if counts.files == 0:
        return []
    parts = [f"{counts.files:,} files"]
    for count, words in (
        (counts.equal, "are what their sources compile to"),
        (counts.differ, "differ"),
        (counts.not_executed, "are not executed by this Python"),
        (counts.listed, "have no source and are as listed"),
        (counts.not_checked, "were not compared"),
    ):
        if count:
            parts.append(f"{count:,} {words}")
    return [Text(", ".join(parts))]


def _differences(differences: tuple[EnvironmentDifference, ...], screen: Screen) -> list[Text]:
    lines = []
    for each in differences:
        text = Text(screen.plain(f"{each.label} {each.path}", 300), style="bold")
        owner = f" ({screen.plain(each.distribution, 80)})" if each.distribution else ""
        text.append(f"{owner}\n{screen.plain(each.message, 600)}", style="not bold")
        lines.append(text)
    return _capped(lines)


def _by_reason(report: EnvironmentReport) -> list[list[NotChecked]]:
    """What could not be checked, what has the same reason in the same root together."""
    together: dict[tuple[str | None, str], list[NotChecked]] = {}
    for each in report.not_checkable:
        together.setdefault((each.label, each.reason), []).append(each)
    return list(together.values())


def _reason(same: list[NotChecked], screen: Screen) -> Text:
    first = same[0]
    files = sum(each.files for each in same)
    names = [each.distribution for each in same if each.distribution is not None]
    subject = f"{first.label}: " if first.label else ""
    of = f"{names[0]}: " if len(names) == 1 else f"{len(names)} distributions, {names[0]} the first: " if names else ""
    count = f" ({files:,} files)" if files > 1 else ""
    where = f" ({first.path})" if files <= 1 and first.path else ""
    return Text(screen.plain(f"{subject}{of}{first.reason}{count}{where}", 600))


def _note(files: int, path: str | None, message: str, screen: Screen) -> Text:
    where = f"{files:,} files, the first is {path}" if files > 1 else path or ""
    return Text(screen.plain(f"{where}: {message}" if where else message, 600), style="dim")


def _next(report: EnvironmentReport) -> str:
    if report.verdict == "differs":
        return "install what differs again from a source that you trust, or ask who changed it; then run this again"
    if report.verdict == "self-consistent":
        return "saksi env manifest --help: an external manifest, to compare with"
    return ""
