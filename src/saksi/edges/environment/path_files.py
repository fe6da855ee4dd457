"""The files that tell an interpreter where its modules are, and what is found before the standard library.

Measured, on CPython 3.9 to 3.13: from 3.11 `pyvenv.cfg` moves the standard library to one above its `home`, and a file
`NAME._pth` beside the executable NAME replaces the whole search path, on Linux too; `pybuilddir.txt` beside the
executable moves extension modules, or everything.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from saksi.edges.environment.door_files import DoorFiles
from saksi.edges.environment.door_owners import DoorOwners
from saksi.edges.environment.interpreter import Python
from saksi.edges.environment.search_path import Finder, Found, SearchPath
from saksi.judgement.environment.doors import Acts, Door
from saksi.judgement.environment.path_settings import MAX_SETTINGS, home_in, start_modules
from saksi.judgement.environment.pth import Version
from saksi.judgement.environment.startup_doors import shown

__all__ = ["home_of", "path_file_doors", "shadowing_doors"]

_NOT_SHADOWING: Final = frozenset({"__pycache__", "sitecustomize", "usercustomize", "site-packages", ""})
MAX_SHADOWING: Final = 200
"""Of one folder: who puts a whole standard library first has made the point by then."""


def home_of(python: Python, files: DoorFiles) -> Path | None:
    """What `home` of the venv's `pyvenv.cfg` names; None for no venv, or where it names nothing."""
    settings = _settings(python)
    if settings is None:
        return None
    named = home_in(files.read(settings, MAX_SETTINGS).content or b"")
    return None if named is None else Path(named)


def _settings(python: Python) -> Path | None:
    places = (python.path.parent / "pyvenv.cfg", python.path.parent.parent / "pyvenv.cfg")
    return next((each for each in places if each.is_file()), None)


def path_file_doors(python: Python, base: Path, version: Version, files: DoorFiles) -> list[Door]:
    """`pyvenv.cfg`, `._pth` and `pybuilddir.txt`, if they are there. `base` is the standard library's prefix."""
    doors = []
    settings = _settings(python)
    if settings is not None:
        home = home_of(python, files)
        what = "makes this a virtual environment and names the interpreter's home"
        if home is not None and not _is_own(base, python):
            what = f"the standard library is taken from {shown(str(base))}, not from the interpreter's own prefix"
        doors.append(_door(settings, "every_start", what, files, value=None if home is None else str(home)))
    path_list: Acts = "every_start" if version >= (3, 11) else "never"
    what = "replaces the whole search path" if path_list != "never" else "nothing: Python reads it from 3.11 on"
    beside = (python.path, python.real_path)
    places = dict.fromkeys(each.parent / f"{each.name}._pth" for each in beside)
    doors += [_door(each, path_list, what, files) for each in places if each.is_file()]
    built = python.real_path.parent / "pybuilddir.txt"
    if built.is_file():
        doors.append(_door(built, "every_start", "moves the folders that modules are taken from", files))
    return doors


def _is_own(base: Path, python: Python) -> bool:
    return os.path.realpath(base) == os.path.realpath(python.file.base_prefix)


def _door(path: Path, acts: Acts, what: str, files: DoorFiles, *, value: str | None = None) -> Door:
    facts = files.facts(path)
    return Door(
        kind="path_file",
        name=shown(path.name, 512),
        acts=acts,
        what=what,
        path=shown(str(path)),
        value=None if value is None else shown(value),
        file=facts,
        owner=None,
    )


def shadowing_doors(path: SearchPath, version: Version, owners: DoorOwners) -> list[Door]:
    """Modules that PYTHONPATH, or an archive before the standard library, has under the name of a standard one."""
    finder = Finder()
    archive, folder, _ = path.stdlib
    standard = _names(finder, folder) - _NOT_SHADOWING
    doors = []
    for entry in path.first:
        for name in sorted(_names(finder, entry) & standard)[:MAX_SHADOWING]:
            found = finder.module_in(entry, name)
            if found is not None:
                acts: Acts = "every_start" if name in start_modules(version) else "search_path"
                what = f"found before the standard library's {name}, and imported in its place"
                doors.append(_before(name, found, acts, what, owners))
    if archive.exists():
        what = "an archive that is looked in before the folder of the standard library"
        doors.append(_before(archive.name, Found(path=archive), "every_start", what, owners))
    return doors


def _before(name: str, found: Found, acts: Acts, what: str, owners: DoorOwners) -> Door:
    facts, owner = owners.look(found.path)
    return Door(
        kind="shadowing",
        name=shown(name, 512),
        acts=acts,
        what=what,
        path=shown(found.named),
        file=facts,
        owner=owner,
    )


def _names(finder: Finder, entry: Path) -> frozenset[str]:
    try:
        return finder.names_in(entry)
    except OSError:
        return frozenset()  # told where sitecustomize is looked for
