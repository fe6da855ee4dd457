"""Code that git does not list by itself: below ignored folders, links to folders, repositories inside a repository.

Names alone are read here; nothing is opened. A module's name has no dot in it, so that a folder whose name has one is
not entered: no import reaches what is below it by way of the folder above.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Final

__all__ = ["MAX_CODE", "UnlistedCode", "is_importable"]

MAX_CODE: Final = 10_000
"""Files; the seal names 200 of them and counts the rest."""
MAX_FOLDERS: Final = 100_000
_COMPILED: Final = (".so", ".pyd")
_CACHE: Final = "__pycache__"


def is_importable(name: str) -> bool:
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
        self.paths: dict[str, None] = {}
        self.reason: str | None = None

    def take(self, paths: Iterable[str]) -> None:
        """Files that an import may execute among `paths`, and those in the folders among them."""
        for path in paths:
            if is_importable(path) or self._is_bytecode_alone(path):
                self._add(path)
            elif "." not in path.rstrip("/").rpartition("/")[2]:
                self._folder(path.rstrip("/"))

    def _add(self, path: str) -> None:
        if len(self.paths) >= MAX_CODE:
            self.reason = f"more than {MAX_CODE:,} files of code that git does not list"
            return
        self.paths[path] = None

    def _folder(self, path: str) -> None:
        waiting = [path]
        while waiting and self.reason is None:
            below = waiting.pop()
            whole = os.path.realpath(f"{self._top}/{below}")
            if below.rpartition("/")[2] == _CACHE or whole in self._entered or not os.path.isdir(whole):  # noqa: PTH112 - as text
                continue
            self._entered.add(whole)
            if len(self._entered) > MAX_FOLDERS or not self._go_on():
                self.reason = "not every folder that git does not list was looked into for code"
                return
            waiting += sorted(self._inside(whole, below), reverse=True)

    def _inside(self, whole: str, below: str) -> list[str]:
        """The folders in one folder; its code is added."""
        try:
            with os.scandir(whole) as entries:
                listed = sorted(entries, key=lambda each: each.name)
        except OSError as error:
            self.reason = f"{below} could not be listed: {error.strerror}"
            return []
        names = {each.name for each in listed}
        folders = []
        for each in listed:
            if "." not in each.name:
                if not each.is_file(follow_symlinks=False):
                    folders.append(f"{below}/{each.name}")
            elif is_importable(each.name) or (
                each.name.endswith(".pyc") and f"{each.name.removesuffix('.pyc')}.py" not in names
            ):
                self._add(f"{below}/{each.name}")
        return folders

    def _is_bytecode_alone(self, path: str) -> bool:
        if not path.endswith(".pyc") or f"/{_CACHE}/" in f"/{path}":
            return False
        return not os.path.exists(f"{self._top}/{path.removesuffix('.pyc')}.py")  # noqa: PTH110 - as text
