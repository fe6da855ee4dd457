"""Which installed package lists a file: RECORD rows of wheels, and Debian's lists for files of the system.

Rows are gathered once for each site folder. What lists nothing (`installed-files.txt`, conda, RPM) accounts for
nothing here: its files are `unowned`, which says no more than that.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from saksi.edges.environment.door_files import DoorFiles
from saksi.judgement.environment.doors import FileFacts, Owner, Unread
from saksi.judgement.environment.record_file import MAX_RECORD_BYTES, digest_of_row, record_rows
from saksi.judgement.environment.startup_doors import shown

__all__ = ["DoorOwners"]

_SYSTEM: Final = ("/usr/", "/etc/", "/lib/", "/lib64/")
MAX_RECORDS: Final = 1 << 30
"""Bytes of all RECORDs together; those of the largest environments known have 30 MB."""
MAX_LIST: Final = 16 * 1024 * 1024
"""The longest list of files of a Debian package has under 2 MB."""


class DoorOwners:
    """Looks up who lists a file. `unread` gathers what could not be read meanwhile."""

    def __init__(self, site: Iterable[Path], files: DoorFiles, *, system: Path) -> None:
        self.files = files
        self._system = system
        self._rows: dict[str, list[tuple[str, str]]] = {}
        self._broken: set[str] = set()
        self._left = MAX_RECORDS
        self._lists: dict[str, bytes] | None = None
        self.unread: list[Unread] = []
        for folder in site:
            self._gather(folder)

    def look(self, path: Path) -> tuple[FileFacts, Owner]:
        """What is at `path`, and who lists it."""
        facts = self.files.facts(path)
        return facts, self.owner(path, facts)

    def owner(self, path: Path, facts: FileFacts) -> Owner:
        """Who lists `path`, and whether with the digest that was found."""
        place = os.path.abspath(path)  # noqa: PTH100 - as RECORD names it: links are not followed
        rows = self._rows.get(place)
        if rows is not None:
            return _judged(rows, facts)
        for each in dict.fromkeys((place, self.files.real(path))):
            package = self._listed(each)
            if package is not None:
                return Owner(state="listed", distribution=shown(package))
        if any(place.startswith(each + os.sep) for each in self._broken):
            return Owner(state="unread")
        return Owner(state="unowned")

    def _gather(self, folder: Path) -> None:
        try:
            names = sorted(os.listdir(folder))  # noqa: PTH208 - thousands of names, few of interest
        except (FileNotFoundError, NotADirectoryError, ValueError):
            return
        except OSError as error:
            self._note(folder, error.strerror or type(error).__name__)
            return
        for name in names:
            if name.endswith(".dist-info"):
                self._gather_rows(folder, name)

    def _gather_rows(self, folder: Path, name: str) -> None:
        record = folder / name / "RECORD"
        if not record.exists():
            return  # installed by something that writes none
        found = self.files.read(record, min(MAX_RECORD_BYTES, self._left))
        if found.reason is not None or found.content is None:
            self._note(record, found.reason or "not read")
            return
        self._left -= len(found.content)
        at, title = f"{os.path.abspath(folder)}/", name.removesuffix(".dist-info")  # noqa: PTH100 - as in `owner`
        for path, text in record_rows(found.content):
            place = at + path
            if ".." in path or path.startswith("/"):
                place = os.path.normpath(path if path.startswith("/") else place)
            self._rows.setdefault(place, []).append((title, text))

    def _note(self, path: Path, reason: str) -> None:
        self._broken.add(os.path.abspath(path if path.name != "RECORD" else path.parent.parent))  # noqa: PTH100
        self.unread.append(Unread(path=shown(str(path)), reason=shown(reason)))

    def _listed(self, place: str) -> str | None:
        """The Debian package whose list names `place`."""
        if not place.startswith(_SYSTEM):
            return None
        if self._lists is None:
            self._lists = self._read_lists()
        # With /usr merged, a list may name /lib/x for /usr/lib/x.
        for each in {place, place.removeprefix("/usr")}:
            line = b"\n" + os.fsencode(each) + b"\n"
            for name, content in self._lists.items():
                if line in content:
                    return name
        return None

    def _read_lists(self) -> dict[str, bytes]:
        folder = self._system / "var/lib/dpkg/info"
        try:
            names = sorted(each for each in os.listdir(folder) if each.endswith(".list"))  # noqa: PTH208 - names only
        except OSError:
            return {}
        found = {}
        for name in names:
            content = self.files.read(folder / name, MAX_LIST).content
            if content is not None:
                found[name.removesuffix(".list").partition(":")[0]] = b"\n" + content
        return found


def _judged(rows: list[tuple[str, str]], facts: FileFacts) -> Owner:
    digests = [(title, digest_of_row(text)) for title, text in rows]
    for title, digest in digests:
        if digest is not None and facts.digest == digest:
            return Owner(state="same", distribution=shown(title))
    title = shown(rows[0][0])
    if all(digest is None for _, digest in digests):
        return Owner(state="no_digest", distribution=title)
    return Owner(state="differs" if facts.digest is not None else "unread", distribution=title)
