"""The doors in an interpreter's folders: `.pth` and `.start` files, sitecustomize, usercustomize, what they import.

Rules:

- Folders are visited in the order in which `site` does it, and names in the order in which it sorts them.
- Folders that a `.pth` file adds are on the search path behind the site folders; `site` does not look for `.pth` files
  in them.
- A module that a start-up file imports is a door of its own, unless it is one of the standard library.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from saksi.edges.environment.door_owners import DoorOwners
from saksi.edges.environment.search_path import Finder, Found, SearchPath
from saksi.judgement.environment.doors import Acts, Door, Kind, Unread
from saksi.judgement.environment.pth import (
    MAX_STARTUP_FILE,
    StartupFile,
    Version,
    is_readable_start,
    modules_named,
    parse_pth,
    parse_start,
    passes_over,
)
from saksi.judgement.environment.startup_doors import customize_door, module_door, shown, startup_door

__all__ = ["MAX_STARTUP_FILES", "StartupDoors"]

MAX_STARTUP_FILES: Final = 20_000
"""In one folder. Real ones have ten; each costs a tenth of a millisecond."""
_MAX_MODULE: Final = 1 << 20


class StartupDoors:
    """Gathers doors; `doors` and `unread` are the result. `added` are the folders that `.pth` files add, as found."""

    def __init__(self, path: SearchPath, owners: DoorOwners, version: Version) -> None:
        self._path = path
        self._files = owners.files
        self._owners = owners
        self._version = version
        self._finder = Finder()
        self.added: list[Path] = []
        self._seen: set[tuple[Kind, str]] = set()
        self.doors: list[Door] = []
        self.unread: list[Unread] = []

    def site_folders(self) -> None:
        """Every start-up file, then the modules that they import."""
        wanted: dict[str, str] = {}
        for folder in self._path.site:
            for path, parsed in self._startup_files(folder):
                self.added += [folder / each for each in parsed.folders if "\0" not in each]
                for line in parsed.executed:
                    for module in modules_named(line):
                        wanted.setdefault(module, path.name)
        for module, by in wanted.items():
            parts = module.split(".")
            for at in range(1, len(parts) + 1):  # importing a.b executes a first
                self.imported(".".join(parts[:at]), by=by, acts="every_start")

    def customize(self, *, user: str | None) -> None:
        """`sitecustomize` and `usercustomize`, the shadowed ones too; `user` is why the second is not imported."""
        for name, off in (("sitecustomize", None), ("usercustomize", user)):
            before: str | None = None
            for found in self._find_all(name):
                content = self._files.read(found.path, _MAX_MODULE).content if found.member is None else None
                facts, owner = self._owners.look(found.path)
                self.doors.append(
                    customize_door(name, found.named, content or b"", facts=facts, owner=owner, before=before, off=off)
                )
                before = before or found.named

    def imported(
        self, module: str, *, by: str, acts: Acts, kind: Kind = "startup_module", before_site: bool = False
    ) -> None:
        """The file of a module, as a door, once for each kind; none for the standard library's, or a missing one.

        With `before_site` only what is on the search path before `site` adds to it is looked at.
        """
        for found in self._find_all(module, before_site=before_site):
            if any(found.path.is_relative_to(each) for each in self._path.stdlib):
                return
            if (kind, found.named) not in self._seen:
                self._seen.add((kind, found.named))
                facts, owner = self._owners.look(found.path)
                door = module_door(module, found.named, by=by, acts=acts, facts=facts, owner=owner, kind=kind)
                self.doors.append(door)
            return

    def _find_all(self, name: str, *, before_site: bool = False) -> Iterator[Found]:
        early = (*self._path.first, *self._path.stdlib)
        for entry in dict.fromkeys(early if before_site else (*self._path.all(), *self.added)):
            try:
                found = self._finder.module_in(entry, name)
            except OSError as error:
                self._note(entry, error.strerror or type(error).__name__)
                continue
            if found is not None:
                yield found

    def _startup_files(self, folder: Path) -> Iterator[tuple[Path, StartupFile]]:
        try:
            names = set(os.listdir(folder))  # noqa: PTH208 - thousands of names, few of interest
        except (FileNotFoundError, NotADirectoryError, ValueError):
            return
        except OSError as error:
            self._note(folder, error.strerror or type(error).__name__)
            return
        wanted = sorted(each for each in names if each.endswith((".pth", ".start")))
        if len(wanted) > MAX_STARTUP_FILES:
            self._note(folder, f"only the first {MAX_STARTUP_FILES:,} of its {len(wanted):,} start-up files are read")
        for name in wanted[:MAX_STARTUP_FILES]:
            yield folder / name, self._one(folder / name, has_start=self._is_silenced(folder, name, names))

    def _is_silenced(self, folder: Path, name: str, names: set[str]) -> bool:
        """Whether a `.start` file that Python reads lies beside a `.pth` file."""
        beside = f"{name.removesuffix('.pth')}.start"
        if beside not in names or passes_over(beside, self._version):
            return False
        content = self._files.read(folder / beside, MAX_STARTUP_FILE).content
        return content is not None and is_readable_start(content)

    def _one(self, path: Path, *, has_start: bool) -> StartupFile:
        facts, owner = self._owners.look(path)
        found = self._files.read(path, MAX_STARTUP_FILE)
        unread = None if facts.form in ("folder", "missing") else found.reason  # of these Python reads nothing either
        if unread is not None:
            self._note(path, unread)
        content = found.content or b""
        if path.name.endswith(".start"):
            parsed = parse_start(content, self._version)
        else:
            parsed = parse_pth(content, self._version, has_start=has_start)
        over = passes_over(path.name, self._version)
        door = startup_door(str(path), content, parsed, facts=facts, owner=owner, passed_over=over, unread=unread)
        self.doors.append(door)
        return StartupFile(lines=()) if over else parsed

    def _note(self, path: Path, reason: str) -> None:
        self.unread.append(Unread(path=shown(str(path)), reason=shown(reason)))
