"""Which folders on PYTHONPATH are the project's own: those that lie in its repository and hold nothing but its files.

No manifest of an environment lists a project's own modules: which files these are, its commit says, and a seal holds
each of them by its digest.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from saksi.edges.environment.git import Question, ask, shadow
from saksi.edges.environment.interpreter import NotKnown
from saksi.edges.environment.repository import Repository, find_repository

__all__ = ["own_packages", "without"]

_PYTHONPATH: Final = "PYTHONPATH"
_LIMIT_S: Final = 60.0
_MOST: Final = 64


def own_packages(environment: Mapping[str, str], folder: Path) -> tuple[str, ...]:
    """The entries of PYTHONPATH, as they are written there, that hold only what the repository around `folder` tracks.

    Bytecode beside its source is passed over: it is compared on its own.
    """
    try:
        repository = find_repository(folder.resolve())
    except (NotKnown, OSError):
        return ()
    entries = dict.fromkeys(each for each in environment.get(_PYTHONPATH, "").split(os.pathsep) if each)
    places = {each: Path(folder, each).resolve() for each in list(entries)[:_MOST]}
    within = {each: place.relative_to(repository.top) for each, place in places.items() if _is_below(place, repository)}
    if not within:
        return ()
    asked = [
        Question(entry, ("ls-files", "--others", "-z", "--", str(place) if place.parts else "."))
        for entry, place in within.items()
    ]
    try:
        with tempfile.TemporaryDirectory(prefix="saksi-") as scratch, shadow(repository, Path(scratch)) as git_dir:
            until = time.monotonic() + _LIMIT_S
            answers = ask(repository, git_dir, environment, until=until, clock=time.monotonic, asked=asked)
    except (NotKnown, OSError):
        return ()
    return tuple(entry for entry in within if entry in answers and not _untracked(answers[entry]))


def _is_below(place: Path, repository: Repository) -> bool:
    return place.is_dir() and place.is_relative_to(repository.top)


def _untracked(answer: bytes) -> bool:
    return any(each and not each.endswith(b".pyc") for each in answer.split(b"\0"))


def without(environment: Mapping[str, str], entries: tuple[str, ...]) -> dict[str, str]:
    """The same variables, PYTHONPATH without `entries`."""
    kept = [each for each in environment.get(_PYTHONPATH, "").split(os.pathsep) if each not in entries]
    return {**environment, _PYTHONPATH: os.pathsep.join(kept)} if entries else dict(environment)
