"""Names that code looks up: literals of torch's modules, modules under their names, and functions that look elsewhere.

Rules: what a module is said to keep is compared with what it kept at first; what it keeps from the start is only told
where it is not what is loaded under that name.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from saksi.judgement.checks.live_places import Place, Source, View
from saksi.judgement.checks.live_said import HONEST, Said, Since
from saksi.words.findings import Severity

__all__ = ["names_elsewhere", "of_constant"]

MODULES: Final = ", its modules"
NOT_LOADED: Final = " (not the one that is loaded)"
STRANGE_GLOBALS: Final = " looks names up where no module keeps them"


def of_constant(place: Place, since: Since, view: View) -> Iterator[Said]:
    """A literal that one of torch's modules keeps, or the modules that a module keeps."""
    if place.name.endswith(MODULES):
        yield from _modules(place, since, view)
    elif since.before is not None and since.before.notes != place.notes:
        old, new = ", ".join(since.before.notes), ", ".join(place.notes)
        message = f"It was {old} and is {new} after the first update. {HONEST}"
        yield Said("live.default_changed", "warning", place.name, message)


def _modules(place: Place, since: Since, view: View) -> Iterator[Said]:
    """The modules that a module keeps, by name: one that is another now, and one that is not what is loaded."""
    before = {} if since.before is None else _by_name(since.before.notes)
    for name, kept in _by_name(place.notes).items():
        subject = f"{place.name.removesuffix(MODULES)}.{name}"
        if name in before and before[name] != kept:
            message = f"It was the module {before[name]} and is {kept} after the first update. {HONEST}"
            yield Said("live.default_changed", "warning", subject, message)
        elif kept.endswith(NOT_LOADED) and name not in before:
            source = view.of(place.owner)
            severity: Severity = "warning" if source is not None and source.origin == "package" else "info"
            message = f"It is {kept}. A module that was imported anew does that too. {HONEST}"
            yield Said("live.code_replaced", severity, subject, message)


def _by_name(notes: tuple[str, ...]) -> dict[str, str]:
    pairs = (word.partition("=") for line in notes for word in line.split("; "))
    return {name: kept for name, _, kept in pairs if kept}


def names_elsewhere(place: Place, since: Since, own: Source | None) -> Iterator[Said]:
    """Functions that look their names up in a dictionary that is no module's: they may find anything there."""
    for note in place.notes:
        if note.endswith(STRANGE_GLOBALS) and (since.before is None or note not in since.before.notes):
            severity: Severity = "warning" if own is not None and own.origin in {"package", "library"} else "info"
            message = (
                f"{note}. Functions that were pickled by value, or whose module was imported anew, do so. {HONEST}"
            )
            yield Said("live.code_replaced", severity, place.name, message)
