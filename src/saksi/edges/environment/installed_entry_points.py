"""Entry points of installed distributions that something loads by itself, as doors."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from saksi.edges.environment.door_owners import DoorOwners
from saksi.edges.environment.search_path import SearchPath
from saksi.edges.environment.startup_files import StartupDoors
from saksi.judgement.environment.doors import Acts, Door, Unread
from saksi.judgement.environment.entry_points import (
    GROUPS,
    MAX_ENTRY_POINTS_FILE,
    EntryPoint,
    is_switched_off,
    parse_entry_points,
)
from saksi.judgement.environment.startup_doors import shown

__all__ = ["MAX_ENTRY_POINTS", "entry_point_doors"]

MAX_ENTRY_POINTS: Final = 1000
"""Of one distribution, in the groups that are loaded; real ones have ten."""


def entry_point_doors(
    path: SearchPath, environment: Mapping[str, str], owners: DoorOwners, startup: StartupDoors
) -> None:
    """Add the doors to `startup`: each entry point of a listed group, and the module that it names."""
    for folder in dict.fromkeys((*path.all(), *startup.added)):  # an old editable installation has them in its source
        try:
            names = sorted(os.listdir(folder))  # noqa: PTH208 - thousands of names, few of interest
        except (OSError, ValueError):
            continue  # told where start-up files are looked for
        for name in names:
            if name.endswith((".dist-info", ".egg-info")):
                _of_distribution(folder / name / "entry_points.txt", environment, owners, startup)


def _of_distribution(place: Path, environment: Mapping[str, str], owners: DoorOwners, startup: StartupDoors) -> None:
    if not place.is_file():
        return
    found = owners.files.read(place, MAX_ENTRY_POINTS_FILE)
    if found.content is None or found.reason is not None:
        startup.unread.append(Unread(path=shown(str(place)), reason=shown(found.reason or "not read")))
    entries, _ = parse_entry_points(found.content or b"")
    wanted = [each for each in entries if each.group in GROUPS]
    if not wanted:
        return
    if len(wanted) > MAX_ENTRY_POINTS:
        reason = f"only the first {MAX_ENTRY_POINTS:,} of its {len(wanted):,} entry points are looked at"
        startup.unread.append(Unread(path=shown(str(place)), reason=reason))
    facts, owner = owners.look(place)
    for each in wanted[:MAX_ENTRY_POINTS]:
        acts = _acts(each, environment)
        group = GROUPS[each.group]
        startup.doors.append(
            Door(
                kind="entry_point",
                name=shown(f"{each.group}: {each.name}", 512),
                acts=acts,
                what=group.what if acts != "never" else f"nothing: {group.switch} keeps it out",
                path=shown(str(place)),
                value=shown(each.value),
                file=facts,
                owner=owner,
            )
        )
        if each.module:
            by = f"entry point {each.name} of {each.group}"
            startup.imported(each.module, by=by, acts=acts, kind="loaded_module")


def _acts(entry: EntryPoint, environment: Mapping[str, str]) -> Acts:
    group = GROUPS[entry.group]
    off = group.switch is not None and is_switched_off(group.switch, environment.get(group.switch))
    return "never" if off else group.acts
