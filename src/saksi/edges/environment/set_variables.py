"""The environment variables that are set, and the files and folders that they name, as doors."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from saksi.edges.environment.door_owners import DoorOwners
from saksi.edges.environment.startup_files import StartupDoors
from saksi.judgement.environment.door_variables import (
    VARIABLES,
    Variable,
    category_modules,
    paths_named,
    variable_acts,
)
from saksi.judgement.environment.doors import Acts, Door, Owner
from saksi.judgement.environment.startup_doors import shown

__all__ = ["variable_doors"]

_OF_PYTHON: Final = "PYTHON"


def variable_doors(
    environment: Mapping[str, str],
    folder: Path,
    letters: frozenset[str],
    owners: DoorOwners,
    startup: StartupDoors,
) -> None:
    """Add the doors to `startup`. With `-E` or `-I`, the interpreter reads none of its own variables."""
    deaf = bool(letters & {"I", "E"})
    for each in VARIABLES:
        value = environment.get(each.name)
        if value is None or value in each.off:
            continue
        acts: Acts = "never" if deaf and each.name.startswith(_OF_PYTHON) else variable_acts(each, value)
        startup.doors.append(
            Door(
                kind="variable",
                name=each.name,
                acts=acts,
                what=each.what if acts != "never" or each.acts == "never" else f"nothing here: {each.what}",
                value=shown(value),
            )
        )
        for part in paths_named(each, value):
            startup.doors.append(_named(each, part, acts, folder, owners))
        if acts != "never":
            _modules(each, value, acts, startup)


def _named(variable: Variable, part: str, acts: Acts, folder: Path, owners: DoorOwners) -> Door:
    if variable.form == "objects" and "/" not in part:
        return Door(
            kind="named",
            name=variable.name,
            acts=acts,
            what="a library that is looked for in the loader's folders",
            value=shown(part),
        )
    path = Path(os.path.join(folder, part))  # noqa: PTH118 - an empty part is the folder itself
    facts, listed = owners.look(path)
    what = variable.what
    if not part:
        what = "an empty part stands for the current folder, whichever that is"
    elif facts.form == "missing":
        what = "nothing is there now; whoever makes it is believed"
    owner: Owner | None = listed if facts.form == "file" else None
    return Door(kind="named", name=variable.name, acts=acts, what=what, path=shown(str(path)), file=facts, owner=owner)


def _modules(variable: Variable, value: str, acts: Acts, startup: StartupDoors) -> None:
    modules: tuple[str, ...] = ()
    if variable.name == "PYTHONWARNINGS":
        modules = category_modules(value)
    elif variable.name == "PYTHONBREAKPOINT":
        modules = (value.rpartition(".")[0],)
    elif variable.name == "PYTEST_PLUGINS":
        modules = tuple(each.strip() for each in value.split(","))
    for module in modules:
        if module:
            early = variable.name == "PYTHONWARNINGS"  # measured: its categories are imported before `site` is
            startup.imported(module, by=variable.name, acts=acts, kind="loaded_module", before_site=early)
