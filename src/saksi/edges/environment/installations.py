"""Which folders of packages, and which libraries, are of the interpreter that the seal names.

A folder is none for its name alone: `/tmp/python3.11` and `/tmp/site-packages` are whatever somebody put there.
"""

from __future__ import annotations

import os
import pwd
import re
from functools import cached_property
from pathlib import Path
from typing import Final

from saksi.edges.environment.editable import pointed_to
from saksi.edges.files import OnBehalf

__all__ = ["LIBRARY", "SITE", "SYSTEM_PACKAGES", "Installations", "may_list"]

SITE: Final = frozenset({"site-packages", "dist-packages"})
SYSTEM_PACKAGES: Final = Path("/usr/lib/python3/dist-packages")
"""Debian's, whose packages have no RECORD; only root writes there."""
LIBRARY: Final = re.compile(r"^python3\.\d+t?$")
MAX_REMEMBERED: Final = 4_096


class Installations:
    """Answers for one attempt; remembers what it has looked up. Owned by one thread.

    `folders` are those below which the interpreter has its library and its packages; `None`: any folder counts as what
    its name says. What the path lines (`.pth`) of `sites` point to counts too, as one virtual environment on top of
    another has it.
    """

    def __init__(
        self, folders: tuple[str, ...] | None, sites: tuple[str, ...] = (), *, on_behalf_of: OnBehalf | None = None
    ) -> None:
        self._given = folders
        self._sites = sites
        self._on_behalf_of = on_behalf_of
        self._answers: dict[Path, bool] = {}

    def has(self, folder: Path) -> bool:
        """Whether `folder`, a folder of packages or a library, is of the interpreter. Never raises."""
        if self._given is None or folder == SYSTEM_PACKAGES:
            return True
        known = self._answers.get(folder)
        if known is None:
            if len(self._answers) >= MAX_REMEMBERED:
                self._answers.clear()
            known = self._answers[folder] = self._has(folder)
        return known

    def _has(self, folder: Path) -> bool:
        try:
            ways = (folder, folder.resolve())
            return (
                any(one.is_relative_to(each) for one in ways for each in self._folders)
                or _is_of_an_account(folder)
                or any(one in self._pointed_to for one in ways)
            )
        except (OSError, ValueError, RuntimeError):  # the job may name anything; a loop of links is a RuntimeError
            return False

    @cached_property
    def _folders(self) -> tuple[Path, ...]:
        named = [Path(each) for each in self._given or ()]
        return (*named, *(each.resolve() for each in named))

    @cached_property
    def _pointed_to(self) -> frozenset[Path]:
        named = [
            Path(path)
            for site in dict.fromkeys(self._sites)
            if may_list(site, self._on_behalf_of)
            for path in pointed_to(site).paths
            if Path(path).name in SITE
        ]
        return frozenset((*named, *(each.resolve() for each in named)))


def may_list(folder: str, on_behalf_of: OnBehalf | None) -> bool:
    """Whether what lies in `folder` is no secret to the account on whose behalf it is asked. Never raises."""
    if on_behalf_of is None:
        return True
    try:
        return on_behalf_of.may_know(os.stat(folder), Path(folder).resolve())  # noqa: PTH116 - may be anything
    except (OSError, ValueError, RuntimeError):
        return False


def _is_of_an_account(site: Path) -> bool:
    """Whether it is where `pip install --user` puts packages: in the home of the account that owns it."""
    above = site.parents
    if LIBRARY.match(site.parent.name) is None or len(above) <= 2:  # noqa: PLR2004 - HOME/.local/lib/pythonX.Y
        return False
    try:
        home = pwd.getpwuid(site.stat().st_uid).pw_dir
    except KeyError:  # an account without an entry
        return False
    return above[2] == Path(home) / ".local"
