"""What changed between two lists of doors, in words that a person can judge.

Nothing is left out: a door that is new, gone, other, or moved in time has its sentence. Equal lists give none.
"""

from __future__ import annotations

from typing import Final

from saksi.judgement.environment.doors import Acts, Kind, SealedDoor

__all__ = ["WHEN", "compare_doors", "title"]

WHEN: Final[dict[Acts, str]] = {
    "every_program": "acts in every program",
    "every_start": "acts at every start",
    "search_path": "acts on where modules are found",
    "with_torch": "acts with torch",
    "with_library": "acts with its library",
    "compiled_models": "acts on compiled models",
    "several_processes": "acts with several processes",
    "when_called": "acts when it is asked for",
    "interactive": "acts at a prompt only",
    "saksi_run": "is added by saksi run",
    "never": "does not act",
}
_NOUN: Final[dict[Kind, str]] = {
    "pth": ".pth file",
    "start": ".start file",
    "customize": "module",
    "startup_module": "module imported at start",
    "loaded_module": "module loaded by name",
    "path_file": "file of paths",
    "variable": "variable",
    "named": "entry of",
    "shadowing": "module before the standard library's",
    "loader": "file of the dynamic loader",
    "entry_point": "entry point",
    "kernel_cache": "folder of kernels",
    "configuration": "configuration file",
    "saksi": "part of saksi",
}


def title(door: SealedDoor) -> str:
    """`.pth file foo.pth`, with its place where two may have the name."""
    place = f" ({door.where})" if door.where and door.kind != "variable" else ""
    return f"{_NOUN[door.kind]} {door.name}{place}"


def compare_doors(before: tuple[SealedDoor, ...], after: tuple[SealedDoor, ...]) -> tuple[str, ...]:
    """One sentence or more for each difference: what is new or other in the doors' order, then what is gone."""
    gone, come = _by_place(set(before) - set(after)), _by_place(set(after) - set(before))
    said: list[str] = []
    for place in sorted(come):
        if len(come[place]) == len(gone.get(place, ())) == 1:
            said += _changed(gone.pop(place)[0], come[place][0])
        else:
            said += [f"a new {title(each)} {WHEN[each.acts]}" for each in come[place]]
    for place in sorted(gone):
        said += [f"{title(each)} is gone; it {_past(each)}" for each in gone[place]]
    return tuple(said)


def _by_place(doors: set[SealedDoor]) -> dict[tuple[str, str, str], list[SealedDoor]]:
    found: dict[tuple[str, str, str], list[SealedDoor]] = {}
    for each in sorted(doors, key=lambda door: (door.acts, door.digest or "", door.value or "", door.unread)):
        found.setdefault((each.kind, each.name, each.where), []).append(each)
    return found


def _changed(was: SealedDoor, door: SealedDoor) -> list[str]:
    """How two that differ and stand at one place differ."""
    said = []
    if door.unread or was.unread:
        said.append(f"{title(door)} could not be compared: {door.unread or f'before, {was.unread}'}")
    elif door.digest != was.digest:
        said.append(f"{title(door)} has other content; it {WHEN[door.acts]}")
    if door.value != was.value:
        said.append(f"{title(door)} has another value: {door.value or 'none'}, was {was.value or 'none'}")
    if door.acts != was.acts:
        said.append(f"{title(door)} now {WHEN[door.acts]}; before, it {_past(was)}")
    return said


def _past(door: SealedDoor) -> str:
    verb, _, rest = WHEN[door.acts].partition(" ")
    return {"acts": "acted", "does": "did", "is": "was"}[verb] + " " + rest
