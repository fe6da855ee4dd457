"""Code that git does not list by itself: below ignored folders, links to folders, repositories inside a repository.

Rules:

- Names alone are read; nothing is opened. Folders nearer to the top come first, and the bounds count folders and
  names, so that the same tree gives the same answer on a slow disk too.
- A module's name has no dot in it: a folder whose name has one is not entered, since no import reaches what is below it
  by way of the folder above.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable
from typing import Final

__all__ = ["MAX_FOLDERS", "MAX_NAMES", "UnlistedCode"]

MAX_FOLDERS: Final = 1_000
"""Of one repository. A launch waits meanwhile: a millisecond each on a network file system."""
MAX_NAMES: Final = 100_000
"""In all folders together, a tenth of a second: more is data, as a rule."""
_COMPILED: Final = (".so", ".pyd")
_CACHE: Final = "__pycache__"
_TOO_LONG: Final = "not every folder that git does not list was looked into for code: it took too long"


def _is_importable(name: str) -> bool:
    """Whether an import may execute a file of this name; bytecode counts by itself, where it has no source beside."""
    return name.endswith((".py", *_COMPILED))


class UnlistedCode:
    """Gathers paths below `top`, as text: `paths` is the result, and `reason` why they are not all.

    Nothing is entered twice, nothing after `go_on` is false.
    """

    def __init__(self, top: str, go_on: Callable[[], bool]) -> None:
        self._top = top
        self._go_on = go_on
        self._entered: set[str] = set()
        self._waiting: deque[str] = deque()
        self._left = MAX_NAMES
        self.paths: dict[str, None] = {}
        self.reason: str | None = None

    def take(self, paths: Iterable[str]) -> None:
        """Files that an import may execute among `paths`; folders among them are looked into by `look`."""
        for path in paths:
            if not self._go_on():
                self.reason = _TOO_LONG
                return
            if _is_importable(path) or self._is_bytecode_alone(path):
                self.paths[path] = None
            elif "." not in path.rstrip("/").rpartition("/")[2]:
                self._waiting.append(path.rstrip("/"))

    def look(self) -> None:
        """Look into the folders that were taken, and those in them."""
        while self._waiting:
            below = self._waiting.popleft()
            whole = os.path.realpath(f"{self._top}/{below}")
            if below.rpartition("/")[2] == _CACHE or whole in self._entered or not os.path.isdir(whole):  # noqa: PTH112 - as text
                continue
            if not self._go_on():
                self.reason = _TOO_LONG
                return
            if len(self._entered) >= MAX_FOLDERS:
                self.reason = f"more than {MAX_FOLDERS:,} folders that git does not list: the rest may hold code"
                return
            self._entered.add(whole)
            self._inside(whole, below)

    def _inside(self, whole: str, below: str) -> None:
        """Add the code in one folder; the folders in it wait."""
        kinds: dict[str, bool] = {}
        try:
            with os.scandir(whole) as entries:
                for each in entries:
                    if len(kinds) >= self._left:
                        self.reason = (
                            f"more than {MAX_NAMES:,} files that git does not list: there may be code among them"
                        )
                        return
                    kinds[each.name] = each.is_file(follow_symlinks=False)
        except OSError as error:
            self.reason = f"a folder that git does not list could not be read: {error.strerror}"
            return
        self._left -= len(kinds)
        for name in sorted(kinds):
            if "." not in name:
                if not kinds[name]:
                    self._waiting.append(f"{below}/{name}")
            elif _is_importable(name) or (name.endswith(".pyc") and f"{name.removesuffix('.pyc')}.py" not in kinds):
                self.paths[f"{below}/{name}"] = None

    def _is_bytecode_alone(self, path: str) -> bool:
        if not path.endswith(".pyc") or f"/{_CACHE}/" in f"/{path}":
            return False
        return not os.path.exists(f"{self._top}/{path.removesuffix('.pyc')}.py")  # noqa: PTH110 - as text
