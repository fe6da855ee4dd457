"""The doctor's answer on one screen: the sentence, each ingredient with its remedy, then what it rests on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec
from rich.console import Group, RenderableType
from rich.text import Text

from saksi.doors.cli.drawing import grid
from saksi.doors.cli.screen import Screen
from saksi.judgement.doctor.values import Doctor, DoctorVerdict, Ingredient

__all__ = ["draw_doctor"]

_STYLES: Final[dict[DoctorVerdict, str]] = {"continues": "green", "missing": "bold red", "unknown": "bold"}
_INGREDIENTS: Final = 4
_PHASES: Final = {"repeat": "the same command again", "resume": "the resume", "threads": "other threads"}


def draw_doctor(found: Doctor, screen: Screen) -> RenderableType:
    """The answer as something to draw."""
    parts: list[RenderableType] = [Text(screen.plain(found.sentence, 600), style=_STYLES[found.verdict])]
    for each in found.ingredients[:_INGREDIENTS]:
        parts += [Text(""), *_ingredient(each, screen)]
    if len(found.ingredients) > _INGREDIENTS:
        parts.append(Text(f"{len(found.ingredients) - _INGREDIENTS} more: --json", style="dim"))
    return Group(*parts, Text(""), grid(_rests_on(found, screen)))


def _ingredient(each: Ingredient, screen: Screen) -> Iterator[RenderableType]:
    head = Text(each.code.replace("_", " "), style="bold red" if each.missing else "yellow")
    head.append(f"  ({_PHASES[each.phase]}{'' if each.missing else '; not missing, but a condition'})", style="dim")
    yield head
    rows: list[tuple[str, RenderableType]] = [("observed", Text(screen.plain(each.sentence, 400)))]
    seen = each.seen
    if seen is not None and seen.field not in each.sentence:
        at = "start" if seen.step < 0 else f"step {seen.step}"
        values = f"{_value(seen.expected)} in the first launch, {_value(seen.found)} here"
        field = f"{seen.field} at {at} of rank {seen.rank}: {values}"
        rows.append(("field", Text(screen.plain(field, 300))))
    rows += [
        ("usually", Text(screen.plain(each.usually, 300))),
        ("remedy", Text(screen.plain(each.remedy, 300))),
        ("", Text(screen.plain(each.example, 200), style="cyan")),
    ]
    yield grid(rows, indent=2)


def _value(value: object) -> str:
    if value is None:
        return "not there"
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()[:60]


def _rests_on(found: Doctor, screen: Screen) -> Iterator[tuple[str, RenderableType]]:
    yield "repeats", Text(_word(known=found.repeats))
    yield "continues", Text(_word(known=found.continues))
    if found.threads is not None:
        threads = found.threads
        words = {True: "the same", False: "not the same", None: "not known: the program sets its own number of threads"}
        yield "threads", Text(f"{threads.other} in the place of {threads.first}: {words[threads.same]}")
    steps = found.steps
    told = f"{steps.recorded} in the first launch"
    if steps.killed_after is not None:
        told += f"; killed after {steps.killed_after}"
    if steps.saved_after is not None:
        told += f", resumed from step {steps.saved_after}, {steps.compared} compared"
    yield "steps", Text(told)
    for at, each in enumerate(found.reasons):
        yield "not known" if at == 0 else "", Text(screen.plain(each, 300))
    for at, one in enumerate(found.not_checkable):
        yield "not seen" if at == 0 else "", Text(screen.plain(f"{one.what}: {one.reason}", 200), style="dim")


def _word(*, known: bool | None) -> str:
    return {True: "yes", False: "no", None: "not known"}[known]
