"""The names below a root and the state of each file: nothing is opened.

Rules:

- Links are followed and said. A link back to a folder that it lies in is a loop and is listed, not entered. Links to
  one folder are followed up to `MAX_NAMES` times: links to folders of links would be exponentially many.
- In a checkout a folder is passed over only where no import reaches it: version control, hidden folders, and inside a
  virtual environment those with a dot in their name, as its `python3.11`. Which, is said.
- Nothing raises for what is found there. What cannot be listed has a reason.
"""

from __future__ import annotations

import errno
import functools
import os
import stat
from collections import Counter
from collections.abc import Callable
from typing import Final, NamedTuple

import msgspec

from saksi.judgement.environment.tree import MAX_TREE_FILES

__all__ = ["Folder", "Place", "Walk", "Walked", "walk", "words_of"]

MAX_DEPTH: Final = 64
"""Folders in folders: no import reaches deeper, and PATH_MAX ends soon after."""
MAX_NAMES: Final = 16
"""Of one folder, by links to it: real ones have two (`lib64`)."""
MAX_FOLDERS: Final = 500_000
"""In one root. A torch environment has 2,000, a cluster's shared installation fifty times that."""
_MAX_PASSED: Final = 100
"""Folders that are named as passed over."""


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """A root to be listed: `only` these entries below `folder`, or everything; never what is in `skip` (absolute).

    `checkout`: folders that no import reaches are passed over. `also` are entries that belong to the root and lie
    outside of it, by their path from it; `named` such that go by a name of their own, each with its absolute path.
    """

    label: str
    folder: str
    only: tuple[str, ...] | None = None
    also: tuple[str, ...] = ()
    named: tuple[tuple[str, str], ...] = ()
    skip: frozenset[str] = frozenset()
    checkout: bool = False


class Walked(NamedTuple):
    """One entry: its path below the root, where it lies, its state (of what a link leads to), why it is not read."""

    path: str
    where: str
    found: os.stat_result | None
    link: str | None
    reason: str | None


class Folder(NamedTuple):
    """A folder that was listed: its path below the root (with `/`, empty for the root), its state, the names in it.

    `names` is a hash of them in this process; bytecode that was made anew counts as another name.
    """

    path: str
    found: os.stat_result
    names: int


class Walk(NamedTuple):
    """A root as it was listed: its files, sorted, and why they are not all of them, if they are not.

    `passed` are the first folders of a checkout that were not entered, since no import reaches them.
    """

    files: list[Walked]
    reason: str | None
    folders: list[Folder]
    passed: tuple[str, ...]


_walked = functools.partial(tuple.__new__, Walked)
"""Half the cost of the named form, 21,000 times."""


def walk(place: Place, *, limit: int = MAX_TREE_FILES, go_on: Callable[[], bool] = lambda: True) -> Walk:
    """What lies below a root. Once `go_on` is false, the rest is not listed, and `reason` says so."""
    walker = _Walker(place, limit, go_on)
    if place.only is None:
        walker.folder(place.folder, "", ())
    for each in (*(place.only or ()), *place.also):
        walker.entry(os.path.normpath(os.path.join(place.folder, each)), each, ())  # noqa: PTH118 - text for speed
    for name, where in place.named:
        walker.entry(where, name, ())
    walker.files.sort()
    return Walk(walker.files, walker.reason, walker.folders, tuple(sorted(walker.passed)))


class _Walker:
    def __init__(self, place: Place, limit: int, go_on: Callable[[], bool]) -> None:
        self._place = place
        self._limit = limit
        self._go_on = go_on
        self._entered: Counter[tuple[int, int]] = Counter()
        self.files: list[Walked] = []
        self.folders: list[Folder] = []
        self.passed: list[str] = []
        self.reason: str | None = None

    def folder(
        self, folder: str, below: str, above: tuple[tuple[int, int], ...], *, in_environment: bool = False
    ) -> None:
        """Everything in `folder`; `above` are the folders that it lies in, to see loops."""
        if self.reason is not None:
            return
        try:
            found = os.stat(folder)  # noqa: PTH116 - text for speed: a Path for each of 21,000 files costs more than they do
            identity = (found.st_dev, found.st_ino)
            why = self._not_entered(identity, above)
            if why is not None:
                self.files.append(Walked(below.rstrip("/") or ".", folder, None, _link(folder), why))
                return
            with os.scandir(folder) as entries:
                listed = list(entries)
        except (OSError, ValueError) as error:
            self.files.append(Walked(below.rstrip("/") or ".", folder, None, None, f"its folder: {words_of(error)}"))
            return
        names = {each.name for each in listed}
        caches = {each.inode() for each in listed if each.name == "__pycache__"}
        self.folders.append(Folder(below, found, hash((frozenset(names), frozenset(caches)))))
        in_environment = in_environment or (below != "" and "pyvenv.cfg" in names)
        inside = (*above, identity)
        files, skip = self.files, self._place.skip
        for entry in listed:
            if len(files) >= self._limit:
                self.reason = f"more than {self._limit:,} files: the rest was not listed"
            if self.reason is not None:
                return
            path = f"{below}{entry.name}"
            try:
                if entry.is_file(follow_symlinks=False):
                    files.append(_walked((path, entry.path, entry.stat(follow_symlinks=False), None, None)))
                elif entry.path in skip or self._passes_over(entry, path, in_environment=in_environment):
                    continue
                elif entry.is_dir(follow_symlinks=False):
                    self.folder(entry.path, f"{path}/", inside, in_environment=in_environment)
                else:
                    self.entry(entry.path, path, inside, in_environment=in_environment)
            except OSError as error:
                files.append(Walked(path, entry.path, None, None, words_of(error)))

    def _not_entered(self, identity: tuple[int, int], above: tuple[tuple[int, int], ...]) -> str | None:
        """Why a folder is listed by its name alone; if the whole walk is to end, `reason` says so from now on."""
        if identity in above:
            return "a link into its own folder"
        if len(above) > MAX_DEPTH:
            return f"more than {MAX_DEPTH} folders deep"
        self._entered[identity] += 1
        if self._entered[identity] > MAX_NAMES:
            return f"the folder that it leads to has more than {MAX_NAMES} names"
        if len(self.folders) >= MAX_FOLDERS:
            self.reason = f"more than {MAX_FOLDERS:,} folders: the rest was not listed"
        elif not self._go_on():
            self.reason = "the look was ended before every folder was listed"
        return self.reason

    def _passes_over(self, entry: os.DirEntry[str], path: str, *, in_environment: bool) -> bool:
        """Whether an entry of a checkout is a folder that no import reaches: a module's name has no dot in it."""
        hidden = entry.name.startswith(".") or (in_environment and "." in entry.name)
        passed = self._place.checkout and hidden and entry.is_dir()
        if passed and len(self.passed) < _MAX_PASSED:
            self.passed.append(path)
        return passed

    def entry(self, where: str, path: str, above: tuple[tuple[int, int], ...], *, in_environment: bool = False) -> None:
        """One entry by name, links followed; what is not there is not listed unless a link says that it is."""
        link = _link(where)
        try:
            found = os.stat(where)  # noqa: PTH116 - as above
        except FileNotFoundError:
            if link is not None:
                self.files.append(Walked(path, where, None, link, "a link to something that is not there"))
            return
        except (OSError, ValueError) as error:
            self.files.append(Walked(path, where, None, link, words_of(error)))
            return
        if stat.S_ISDIR(found.st_mode):
            self.folder(where, f"{path}/", above, in_environment=in_environment)
        else:
            reason = None if stat.S_ISREG(found.st_mode) else "not a regular file"
            self.files.append(Walked(path, where, found, link, reason))


def _link(path: str) -> str | None:
    try:
        return os.readlink(path)  # noqa: PTH115 - as above
    except OSError:
        return None


def words_of(error: Exception) -> str:
    """What the system says of an error, briefly."""
    if getattr(error, "errno", None) == errno.ELOOP:
        return "a loop of links"
    return getattr(error, "strerror", None) or type(error).__name__
