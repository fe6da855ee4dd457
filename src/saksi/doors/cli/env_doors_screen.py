"""Doors on a terminal: those that nothing accounts for first, then by when they act, each with who may write it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Final

from rich.console import Group, RenderableType
from rich.text import Text

from saksi.doors.cli.drawing import grid
from saksi.doors.cli.screen import Screen
from saksi.judgement.environment.doors import (
    Acts,
    Door,
    DoorsReport,
    FileFacts,
    Kind,
    Writer,
    is_unaccounted,
    others_who_may_write,
)

__all__ = ["draw_doors"]

_HEADINGS: Final[dict[Acts, str]] = {
    "every_program": "In every program, before Python",
    "every_start": "At every start of this interpreter",
    "search_path": "On where modules are found",
    "with_torch": "When torch is imported",
    "with_library": "When another library is used",
    "compiled_models": "When kernels are compiled or loaded",
    "several_processes": "When several processes train together",
    "when_called": "Only when it is asked for",
    "interactive": "Only at a prompt",
    "saksi_run": "Added by saksi run",
    "never": "There, and without effect here",
}
_LABELS: Final[dict[Kind, str]] = {
    "pth": ".pth file",
    "start": ".start file",
    "customize": "module",
    "startup_module": "imported",
    "loaded_module": "imported",
    "path_file": "paths",
    "variable": "variable",
    "named": "  there",
    "shadowing": "shadowing",
    "loader": "loader",
    "entry_point": "entry",
    "kernel_cache": "kernels",
    "configuration": "settings",
    "saksi": "saksi",
}
_OWNERS: Final = {
    "same": "as {} ships it",
    "differs": "not as {} ships it",
    "no_digest": "listed by {}, without a digest",
    "listed": "listed by the system's package {}",
    "unowned": "from no installed package",
    "unread": "its package could not be read",
}
_SHOWN_WRITERS: Final = 3
_SHOWN_LINES: Final = 3
_DIGEST: Final = len("sha256:") + 12


def draw_doors(report: DoorsReport, screen: Screen) -> RenderableType:
    """The whole report."""
    head = Text(f"Doors into {screen.plain(report.python)} (Python {screen.plain(report.version)})", style="bold")
    loose = [each for each in report.doors if is_unaccounted(each)]
    parts: list[RenderableType] = [head, _summary(report, loose)]
    if loose:
        heading = "From no installed package, or not as the package ships it"
        parts += _section(heading, loose, report, screen, with_when=True)
    rest = [each for each in report.doors if not is_unaccounted(each)]
    for acts, doors in groupby(rest, key=lambda door: door.acts):
        parts += _section(_HEADINGS[acts], list(doors), report, screen)
    if report.unread:
        parts += [Text(""), Text("Not read, so not known", style="bold yellow")]
        parts += [Text(f"  {screen.plain(each.path)}: {screen.plain(each.reason)}") for each in report.unread]
    parts += [Text(""), Text("A door is no finding: nearly every environment has some.", style="dim")]
    return Group(*parts)


def _summary(report: DoorsReport, loose: Sequence[Door]) -> Text:
    executing = sum(each.acts in ("every_program", "every_start") for each in report.doors)
    written = sum(bool(others_who_may_write(each, report.account)) for each in report.doors if each.acts != "never")
    text = f"{_number(len(report.doors), 'door')}: {executing} at every start or before it, "
    text += f"{len(loose)} not as any installed package ships it, {written} that others may write."
    return Text(text + ("" if report.complete else " Not everything could be read."))


def _number(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _section(
    heading: str, doors: Sequence[Door], report: DoorsReport, screen: Screen, *, with_when: bool = False
) -> list[RenderableType]:
    rows = ((_LABELS[each.kind], _door(each, report, screen, with_when=with_when)) for each in doors)
    return [Text(""), Text(heading, style="bold"), grid(rows, indent=2)]


def _door(door: Door, report: DoorsReport, screen: Screen, *, with_when: bool) -> Text:
    text = Text(screen.plain(door.name, 120), style="bold")
    text.append(f"  {screen.plain(door.what, 300)}", style="not bold")
    if with_when:
        text.append(f"; {_HEADINGS[door.acts][:1].lower()}{_HEADINGS[door.acts][1:]}", style="not bold")
    lines = [] if door.value is None else [screen.plain(door.value, 300)]
    lines += [f"> {screen.plain(each, 300)}" for each in door.runs[:_SHOWN_LINES]]
    if door.runs_total > _SHOWN_LINES:
        lines.append(f"> and {door.runs_total - _SHOWN_LINES} more lines")
    if door.path is not None and door.kind != "entry_point":  # of these, what they import is listed too
        lines.append(screen.plain(door.path))
    quiet = door.owner is not None and door.owner.state == "same"  # the digest is that of the package
    lines += [each for each in ("" if quiet else _facts(door.file, screen), _account(door, screen)) if each]
    text.append("".join(f"\n{each}" for each in lines), style="not bold dim")
    others = others_who_may_write(door, report.account)
    if others:
        text.append(f"\n{_writers(others, door.file, screen)}", style="not bold yellow")
    return text


def _facts(facts: FileFacts | None, screen: Screen) -> str:
    if facts is None or facts.form == "missing":
        return ""
    parts = [] if facts.link is None else [f"is {screen.plain(facts.link)}"]
    if facts.digest is not None:
        parts.append(facts.digest[:_DIGEST])
    if facts.uid is not None:
        parts.append(f"user {facts.uid}, group {facts.gid}, mode {facts.mode}")
    if facts.reason is not None:
        parts.append(screen.plain(facts.reason))
    return "; ".join(parts)


def _account(door: Door, screen: Screen) -> str:
    parts = []
    if door.owner is not None:
        parts.append(_OWNERS[door.owner.state].format(screen.plain(door.owner.distribution or "?", 80)))
    if door.expected is not None:
        parts.append(f"known: {screen.plain(door.expected)}")
    return "; ".join(parts)


def _writers(others: Iterable[Writer], facts: FileFacts | None, screen: Screen) -> str:
    named = [_writer(each, screen) for each in others]
    more = f", and {len(named) - _SHOWN_WRITERS} more" if len(named) > _SHOWN_WRITERS else ""
    verb = "may make it" if facts is not None and facts.form == "missing" else "may write it"
    return f"others {verb}: {', '.join(named[:_SHOWN_WRITERS])}{more}"


def _writer(writer: Writer, screen: Screen) -> str:
    who = {"owner": f"user {writer.id}", "group": f"group {writer.id}", "others": "everybody"}[writer.who]
    return f"{who} by {screen.plain(writer.path, 120)}"
