"""Versions of a project's files that are at hand: what lies on the disk, and what git has of a commit.

Used to say where a file was changed, never to judge whether: who asks compares digests. git is asked as in `git`: it
never reads the repository's configuration.
"""

from __future__ import annotations

import os
import stat
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from saksi.edges.environment.git import Question, ask, shadow
from saksi.edges.environment.interpreter import NotKnown
from saksi.edges.environment.repository import Repository, find_repository, repository_folder

__all__ = ["MAX_VERSION_BYTES", "Versions"]

MAX_VERSION_BYTES: Final = 4 << 20
"""Of one file; a source of that size was made by a program."""
_SECONDS: Final = 5.0
_MAX_PATHS: Final = 200


class Versions:
    """The versions at hand of files of one work tree. Nothing raises: what is not at hand is `None` or empty.

    `folder` is where relative paths of the seal begin; the repository is the one around the script's folder `first`, if
    that lies in one, else the one around `folder`, if there is one.
    """

    def __init__(self, folder: Path, environment: Mapping[str, str], *, first: Path | None = None) -> None:
        self._folder = folder
        self._environment = environment
        self._repository: Repository | None = None
        try:
            self._repository = find_repository(repository_folder(folder, first))
        except (NotKnown, OSError):
            return

    def path_in_tree(self, path: str) -> str | None:
        """`path`, as the seal has it, from the top of the work tree."""
        if self._repository is None:
            return None
        try:
            whole = os.path.realpath(self._folder / path)
            return Path(whole).relative_to(os.path.realpath(self._repository.top)).as_posix()
        except (OSError, ValueError):
            return None

    def on_disk(self, path: str) -> bytes | None:
        """The file at `path` from the seal's folder."""
        return _read(self._folder / path)

    def in_tree(self, path: str) -> bytes | None:
        """The file at `path` from the top of the work tree."""
        return None if self._repository is None else _read(self._repository.top / path)

    def at_commit(self, commit: str | None, path: str) -> bytes | None:
        """What `commit` has at `path` from the top of the work tree."""
        if commit is None:
            return None
        return self._answer(("cat-file", "blob", f"{commit}:{path}"))

    def changed_between(self, before: str, after: str) -> tuple[str, ...]:
        """The paths, from the top of the work tree, that two commits do not have the same; at most 200."""
        names = self._answer(("diff-tree", "-r", "-z", "--name-only", "--no-renames", before, after, "--")) or b""
        return tuple(os.fsdecode(each) for each in names.split(b"\0") if each)[:_MAX_PATHS]

    def _answer(self, arguments: tuple[str, ...]) -> bytes | None:
        if self._repository is None:
            return None
        try:
            with (
                tempfile.TemporaryDirectory(prefix="saksi-") as scratch,
                shadow(self._repository, Path(scratch)) as git_dir,
            ):
                until = time.monotonic() + _SECONDS
                asked = (Question("answer", arguments),)
                answers = ask(
                    self._repository, git_dir, self._environment, until=until, clock=time.monotonic, asked=asked
                )
        except (NotKnown, OSError):
            return None
        answer = answers.get("answer")
        return None if answer is None or len(answer) > MAX_VERSION_BYTES else answer


def _read(path: Path) -> bytes | None:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(descriptor, "rb") as file:  # noqa: PTH123 - a descriptor, opened without blocking on a FIFO
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                return None
            content = file.read(MAX_VERSION_BYTES + 1)
    except (OSError, ValueError):
        return None
    return None if len(content) > MAX_VERSION_BYTES else content
