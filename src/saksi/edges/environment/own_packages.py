"""Which folders on PYTHONPATH are the project's own: those that hold the files of its commit, as they are there.

No manifest of an environment lists a project's own modules: which files these are, its commit says, and a seal holds
each of them by its digest. One file that is another, or none of the commit's, and the folder is like any other.

Rules: every file is read and compared with its object; links and submodules are nothing that a commit holds. Only
bytecode in `__pycache__` is passed over, which is compared on its own.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from saksi.edges.environment.git import Question, ask, shadow
from saksi.edges.environment.interpreter import NotKnown
from saksi.edges.environment.repository import Repository, find_repository

__all__ = ["own_packages", "without"]

_PYTHONPATH: Final = "PYTHONPATH"
_LIMIT_S: Final = 60.0
_MOST: Final = 64
_MOST_FILES: Final = 20_000


def own_packages(environment: Mapping[str, str], folder: Path) -> tuple[str, ...]:
    """The entries of PYTHONPATH, as they are written there, that hold what the commit around `folder` has there."""
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
        Question(entry, ("ls-tree", "-r", "-z", "HEAD", "--", f"{place}/" if place.parts else "."))
        for entry, place in within.items()
    ]
    try:
        with tempfile.TemporaryDirectory(prefix="saksi-") as scratch, shadow(repository, Path(scratch)) as git_dir:
            until = time.monotonic() + _LIMIT_S
            answers = ask(repository, git_dir, environment, until=until, clock=time.monotonic, asked=asked)
        return tuple(
            entry
            for entry, place in within.items()
            if entry in answers and _is_committed(repository, place, answers[entry])
        )
    except (NotKnown, OSError):
        return ()


def _is_below(place: Path, repository: Repository) -> bool:
    return place.is_dir() and place.is_relative_to(repository.top)


def _is_committed(repository: Repository, place: Path, listed: bytes) -> bool:
    """Whether every file there is one of the commit's, byte for byte. Raises `OSError`."""
    objects = dict(_objects(listed))
    count = 0
    for at, folders, names in os.walk(repository.top / place, onerror=_raise):
        if any(Path(at, each).is_symlink() for each in folders):
            return False
        folders[:] = [each for each in folders if Path(at, each) != repository.top / ".git"]
        for name in names:
            path, count = Path(at, name), count + 1
            if path.parent.name == "__pycache__" and path.suffix == ".pyc":
                continue
            known = objects.get(os.fsencode(path.relative_to(repository.top)))
            if known is None or count > _MOST_FILES or path.is_symlink() or not path.is_file():
                return False
            content = path.read_bytes()
            if hashlib.new(repository.object_format, b"blob %d\0" % len(content) + content).hexdigest() != known:
                return False
    return True


def _raise(error: OSError) -> None:
    raise error


def _objects(listed: bytes) -> Iterator[tuple[bytes, str]]:
    """Path and object of each regular file of the commit, as `git ls-tree` lists them."""
    for line in listed.split(b"\0"):
        facts, _, path = line.partition(b"\t")
        mode, kind, name = (*facts.split(b" "), b"", b"", b"")[:3]
        if kind == b"blob" and mode in {b"100644", b"100755"}:
            yield path, name.decode("ascii", "replace")


def without(environment: Mapping[str, str], entries: tuple[str, ...]) -> dict[str, str]:
    """The same variables, PYTHONPATH without `entries`."""
    kept = [each for each in environment.get(_PYTHONPATH, "").split(os.pathsep) if each not in entries]
    return {**environment, _PYTHONPATH: os.pathsep.join(kept)} if entries else dict(environment)
