"""An audit on one screen: the answer, the Step that differs and in what, then how far it goes and what it rests on."""

from __future__ import annotations

from typing import Final

import msgspec
from rich.console import Group, RenderableType
from rich.text import Text

from saksi.doors.cli.distance_rows import distance_rows
from saksi.doors.cli.drawing import grid, listing
from saksi.doors.cli.screen import Screen
from saksi.judgement.replay.values import Audit, Named, ReplayVerdict, Sampled, SavedFiles, StretchLine

__all__ = ["draw_audit"]

_STYLES: Final[dict[ReplayVerdict, str]] = {"match": "green", "mismatch": "bold red", "not_checkable": "bold"}
_FIELDS: Final = 6
_REASONS: Final = 6
_FILES: Final = 6


def draw_audit(found: Audit, screen: Screen) -> RenderableType:
    """The audit as something to draw."""
    head = Text(f"run {found.run}, attempt {found.attempt}: ")
    head.append(found.verdict, style=_STYLES[found.verdict])
    parts: list[RenderableType] = [head, Text(screen.plain(found.sentence, 900)), Text("")]
    parts.append(grid(_rows(found, screen)))
    for each in found.named:
        parts += [Text(""), _fields(each, screen)]
    return Group(*parts)


def _rows(found: Audit, screen: Screen) -> list[tuple[str, RenderableType]]:
    steps, coverage = found.steps, found.coverage
    counted = f"{steps.match:,} of {steps.total:,} equal{', or up to rounding' if found.tier == 'split' else ''}"
    counted += f", {steps.mismatch:,} not" if steps.mismatch else ""
    counted += f", {steps.not_checkable:,} not compared" if steps.not_checkable else ""
    rows: list[tuple[str, RenderableType]] = [
        ("steps", Text(f"{counted}; replayed {found.replays} {'time' if found.replays == 1 else 'times'}")),
        ("covers", Text(_covers(found))),
    ]
    if found.tier == "split":
        rows.append(("tier", Text("split: up to rounding, in single steps; weaker than bit for bit")))
    if found.sampled is not None:
        rows += _stretches(found.sampled, screen)
    environment = found.environment
    if environment.verified:
        words = f"verified against a seal approved by {', '.join(environment.approved_by)}"
        rows.append(("place", Text(screen.plain(words))))
    for at, each in enumerate(environment.differences[:_REASONS]):
        rows.append(("place" if at == 0 else "", Text(screen.plain(each, 300))))
    for named in found.named:
        rows += [
            (label, Text(screen.plain(value, 200)))
            for label, value in (
                ("object", named.object),
                ("file", named.file),
                ("tensor", named.tensor),
                ("operation", named.operation),
            )
            if value is not None
        ]
    rows += [] if found.distance is None else distance_rows(found.distance)
    rows += [] if found.saved is None else _saved(found.saved, screen)
    if coverage.segments.total == 0:
        rows.append(("noted", Text("no two state roots are in the record: no segment is bound")))
    return rows


def _saved(saved: SavedFiles, screen: Screen) -> list[tuple[str, RenderableType]]:
    rows: list[tuple[str, RenderableType]] = [
        ("saved", Text(f"{saved.equal:,} of {saved.equal + saved.differing:,} equal"))
    ]
    for each in saved.named[:_FILES]:
        step = "before the first step" if each.step < 0 else f"behind step {each.step}"
        rank = f" of rank {each.rank}" if each.rank else ""
        rows.append(("", Text(screen.plain(f"{each.path} {step}{rank}: {each.how}", 300))))
    return rows


def _stretches(sampled: Sampled, screen: Screen) -> list[tuple[str, RenderableType]]:
    means = [each.means for each in sampled.stretches]
    resumed, hollow, begun = (means.count(each) for each in ("resume", "capsule", "start"))
    ways = [f"{resumed} resumed from a model checkpoint"] if resumed else []
    ways += [f"{hollow} begun with a capsule"] if hollow else []
    ways += [f"{begun} from the start"] if begun else []
    rows: list[tuple[str, RenderableType]] = [
        ("stretches", Text(f"{len(means)} of {sampled.total}: {', '.join(ways) or 'none'}"))
    ]
    told = [each for each in sampled.stretches if each.reason is not None or each.split is not None]
    for each in told[:_REASONS]:
        words = f"steps {each.first_step} to {each.last_step}: {_of_stretch(each)}"
        rows.append(("", Text(screen.plain(words, 300))))
    if sampled.resume is not None:
        rows.append(("resumed by", Text(screen.plain(" ".join(sampled.resume), 200))))
    if sampled.draw is not None:
        beacon = "" if sampled.draw.beacon is None else f", beacon {screen.plain(sampled.draw.beacon, 60)}"
        words = f"secret {sampled.draw.secret}, log root {sampled.draw.log_root[:16]}…{beacon}"
        rows.append(("drawn with", Text(words)))
    return rows


def _of_stretch(line: StretchLine) -> str:
    if line.split is None:
        return line.reason or ""
    found = line.split
    label = "" if found.planted is None else f"; a changed label: {found.planted:,.3g} times"
    slack = "beyond all" if found.slack is None else f"{found.slack:,.2g} times what is allowed"
    return f"of step {found.step} up to rounding, {found.furthest}: {slack}{label}"


def _covers(found: Audit) -> str:
    coverage = found.coverage
    return (
        f"{coverage.segments.replayed} of {coverage.segments.total} segments; what was done in one of them is met with "
        f"probability {coverage.detects.one_segment:.3g}"
    )


def _fields(named: Named, screen: Screen) -> RenderableType:
    rows = (
        [
            Text(screen.plain(each.field, 60)),
            Text(_value(each.recorded, screen)),
            Text(_value(each.replayed, screen)),
        ]
        for each in named.fields[:_FIELDS]
    )
    return listing(("Field", "In the record", "In the replay"), rows, folding=True)


def _value(value: object, screen: Screen) -> str:
    if value is None:
        return "not there"
    return screen.plain(value if isinstance(value, str) else msgspec.json.encode(value).decode(), 60)
