"""Every door into an interpreter's processes, looked up at once, without starting anything of the environment."""

from __future__ import annotations

import pwd
from collections.abc import Mapping
from pathlib import Path

import msgspec

from saksi.edges.environment.door_files import DoorFiles
from saksi.edges.environment.door_owners import DoorOwners
from saksi.edges.environment.installed_entry_points import entry_point_doors
from saksi.edges.environment.interpreter import Python
from saksi.edges.environment.path_files import home_of, path_file_doors, shadowing_doors
from saksi.edges.environment.search_path import base_of, search_path_of
from saksi.edges.environment.set_variables import variable_doors
from saksi.edges.environment.startup_files import StartupDoors
from saksi.edges.environment.system_doors import SystemDoors
from saksi.judgement.environment.doors import Door, DoorsReport, Unread, order_of
from saksi.judgement.environment.pth import version_of
from saksi.judgement.environment.startup_doors import shown

__all__ = ["Surroundings", "observe_doors"]


class Surroundings(msgspec.Struct, frozen=True, kw_only=True):
    """In which environment and folder an interpreter would start, for which account, with which one-letter flags.

    `recorder` is the folder that `saksi run` puts on PYTHONPATH; `system` is `/`, but for tests.
    """

    environment: Mapping[str, str]
    folder: Path
    account: int
    letters: frozenset[str] = frozenset()
    recorder: Path | None = None
    system: Path = Path("/")


def observe_doors(python: Python, surroundings: Surroundings) -> DoorsReport:
    """The doors of `python`. What could not be read is in `unread`. Raises nothing for what it finds."""
    environment, folder, letters = surroundings.environment, surroundings.folder, surroundings.letters
    version = version_of(python.file.version)
    files = DoorFiles()
    base = base_of(python, environment, home_of(python, files))
    path = search_path_of(python, environment, folder, letters, base)
    owners = DoorOwners(path.all(), files, system=surroundings.system)
    startup = StartupDoors(path, owners, version)
    if "S" not in letters:
        startup.site_folders()
        startup.customize(user=_no_user_site(python, environment, letters))
    entry_point_doors(path, environment, owners, startup)
    variable_doors(environment, folder, letters, owners, startup)
    system = SystemDoors(environment, folder, owners, system=surroundings.system)
    home = Path(environment["HOME"]) if environment.get("HOME") else None
    system.loader()
    system.communication(home)
    system.kernels(path, home, user=_name_of(surroundings.account))
    doors = [*startup.doors, *system.doors, *path_file_doors(python, base, version, files)]
    doors += shadowing_doors(path, version, owners)
    if surroundings.recorder is not None:
        doors += _of_saksi(surroundings.recorder, files)
    unread = {*startup.unread, *owners.unread, *system.unread, *_unread_files(doors)}
    unread |= _unfamiliar(python, environment, letters, doors)
    return DoorsReport(
        python=shown(str(python.path)),
        real_path=shown(str(python.real_path)),
        version=shown(python.file.version),
        prefix=shown(str(python.prefix)),
        base_prefix=shown(python.file.base_prefix),
        account=surroundings.account,
        complete=not unread,
        doors=tuple(sorted(doors, key=order_of)),
        unread=tuple(sorted(unread)),
    )


def _no_user_site(python: Python, environment: Mapping[str, str], letters: frozenset[str]) -> str | None:
    """Why `site` does not import usercustomize, if it does not."""
    if not python.sees_base:
        return "a virtual environment without the system's packages imports no usercustomize"
    if letters & {"I", "s"}:
        return "the flag -s or -I keeps it out"
    if environment.get("PYTHONNOUSERSITE") and "E" not in letters:
        return "PYTHONNOUSERSITE keeps it out"
    return None


def _unread_files(doors: list[Door]) -> set[Unread]:
    """Files that act and could not be read: what they do is then not known."""
    found = set()
    for each in doors:
        facts = each.file
        if facts is not None and each.acts != "never" and facts.reason is not None and facts.form != "missing":
            found.add(Unread(path=each.path or each.name, reason=facts.reason))
    return found


def _unfamiliar(
    python: Python, environment: Mapping[str, str], letters: frozenset[str], doors: list[Door]
) -> set[Unread]:
    """What makes the interpreter look elsewhere, or otherwise, than was looked here."""
    found = set()
    if python.file.implementation != "cpython":
        reason = f"{shown(python.file.implementation)} is not CPython, whose rules were followed"
        found.add(Unread(path=shown(str(python.path)), reason=reason))
    places = [each.path or each.name for each in doors if each.kind == "path_file" and each.acts != "never"]
    moving = [each for each in places if not each.endswith("/pyvenv.cfg")]  # that one is followed
    if not letters & {"I", "E"}:
        moving += [each for each in ("PYTHONHOME", "PYTHONPLATLIBDIR") if environment.get(each)]
    reason = "it moves the folders that an interpreter looks in; only those that it has without it were read"
    return found | {Unread(path=each, reason=reason) for each in moving}


def _of_saksi(recorder: Path, files: DoorFiles) -> list[Door]:
    what = "`saksi run` puts this folder first on PYTHONPATH, and its sitecustomize lets the recorder in"
    path = recorder / "sitecustomize.py"
    reason = "saksi's own: only under `saksi run`; your own sitecustomize is executed as before"
    return [
        Door(
            kind="saksi",
            name="sitecustomize",
            acts="saksi_run",
            what=what,
            path=shown(str(path)),
            file=files.facts(path),
            expected=reason,
        )
    ]


def _name_of(account: int) -> str:
    try:
        return pwd.getpwuid(account).pw_name
    except KeyError:
        return f"uid_{account}"
