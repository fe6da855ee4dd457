"""What an environment consists of, listed and not yet read: an interpreter, its roots, and the state of every file.

The state of everything together is one digest: where it is the same as before, nothing changed that an ordinary
account could change without the kernel's clock noticing.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import msgspec

from saksi import __version__
from saksi.edges.bytecode import environment_id
from saksi.edges.environment.interpreter import NotKnown, Python, describe
from saksi.edges.environment.remembered import RACY_NS
from saksi.edges.environment.roots import Roots, find_roots, roots_without_interpreter
from saksi.edges.environment.stat_cache import stamp_key
from saksi.edges.environment.tree import Progress, silent
from saksi.edges.environment.walk import Folder, Place, Walk, Walked, walk
from saksi.judgement.environment.report import PythonLine
from saksi.judgement.redaction import printable
from saksi.words.errors import UsageError

__all__ = ["Listed", "Listing", "Question", "cache_folder", "conda_state", "list_environment", "state_of_listing"]

_VERSION: Final = f"saksi.listing/v1 {__version__}"
_NAMED: Final = 4
"""Folders of one root that are named as not entered."""


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked: which interpreter, as a path; where and with what environment it would be started.

    `cache` is the node-local cache folder, if there is one. With `sources`, by label and path, only the bytecode of
    those is compared; that of others counts as not compared. With `only`, other roots are not looked at, and that is
    said.
    """

    python: Path
    environment: Mapping[str, str]
    folder: Path
    cache: Path | None
    bytecode: bool = True
    sources: frozenset[tuple[str, str]] | None = None
    only: frozenset[str] | None = None
    jobs: int = 1


class Listed(msgspec.Struct, frozen=True, kw_only=True):
    """One root's entries, and why they are not all, if they are not; the folders that were listed for them."""

    place: Place
    walked: list[Walked]
    reason: str | None
    folders: list[Folder] = []


class Listing(msgspec.Struct, frozen=True, kw_only=True):
    """An environment as it was listed at `now_ns`. `python` is null where it could not be asked."""

    question: Question
    python: Python | None
    line: PythonLine
    roots: Roots
    listed: tuple[Listed, ...]
    now_ns: int


def list_environment(
    question: Question, *, now_ns: int, progress: Progress = silent, go_on: Callable[[], bool] = lambda: True
) -> Listing:
    """What is there now. Raises `UsageError` if the path names no interpreter and no environment's folder.

    Once `go_on` is false, the rest is not listed, and the roots' reasons say so.
    """
    python, roots, line = _roots(question, now_ns)
    if question.only is not None:
        roots = _reduced(roots, question.only)
    walks = [(place, walk(place, go_on=go_on)) for place in progress(roots.places, "listing folders")]
    listed = tuple(
        Listed(place=place, walked=walked.files, reason=walked.reason, folders=walked.folders)
        for place, walked in walks
    )
    roots = msgspec.structs.replace(roots, trusted=(*roots.trusted, *_passed_over(walks)))
    return Listing(question=question, python=python, line=line, roots=roots, listed=listed, now_ns=now_ns)


def cache_folder(question: Question) -> Path | None:
    """Where things about this environment are kept."""
    if question.cache is None:
        return None
    return question.cache / "environment" / environment_id(str(question.python))


def state_of_listing(listing: Listing) -> str | None:
    """One digest over the question and the state of everything listed.

    `None` if something could not be looked at, or is so young that a later change could leave the same state.
    """
    question, python = listing.question, listing.python
    state = hashlib.sha256(f"{_VERSION}\n".encode())
    asked = (question.bytecode, sorted(question.sources or ()), question.sources is None, sorted(question.only or ()))
    for part in (asked, listing.line, python and python.file, listing.roots.places, listing.roots.trusted):
        state.update(f"{part!r}\n".encode("utf-8", "surrogateescape"))
    state.update("\n".join(conda_state(listing.roots.prefix)).encode("utf-8", "surrogateescape"))
    newest = 0
    for root in listing.listed:
        keys: list[bytes] = []
        for each in root.walked:
            found = each.found
            if found is None or each.reason is not None:
                return None
            keys.append(stamp_key(found))
            newest = max(newest, found.st_mtime_ns, found.st_ctime_ns)
        names = "\0".join([root.place.label, str(root.reason), *(each.path for each in root.walked)])
        state.update(names.encode("utf-8", "surrogateescape") + b"\n" + b"".join(keys))
    return None if listing.now_ns - newest <= RACY_NS else state.hexdigest()


def _roots(question: Question, now_ns: int) -> tuple[Python | None, Roots, PythonLine]:
    try:
        python = describe(question.python, question.environment, cache=question.cache, now_ns=now_ns)
    except NotKnown as reason:
        prefix = question.python.parent.parent
        if not (prefix / "pyvenv.cfg").is_file():
            raise UsageError(f"{question.python}: {reason}", remedy="name a Python interpreter with --python") from None
        roots = roots_without_interpreter(prefix)
        why = f"{question.python} could not be asked ({reason}): its standard library and search path are not known"
        line = PythonLine(
            path=printable(str(question.python)),
            real_path=None,
            version=None,
            implementation=None,
            prefix=printable(str(prefix)),
        )
        return None, msgspec.structs.replace(roots, unknown=(*roots.unknown, why)), line
    line = PythonLine(
        path=printable(str(python.path)),
        real_path=printable(str(python.real_path)),
        version=printable(python.file.version),
        implementation=printable(python.file.implementation),
        prefix=printable(str(python.prefix)),
    )
    return python, find_roots(python, question.environment, question.folder), line


def _passed_over(walks: list[tuple[Place, Walk]]) -> list[str]:
    return [
        f"{place.label}: not entered, since no import reaches them: {printable(', '.join(walked.passed[:_NAMED]))}"
        + (f" and {len(walked.passed) - _NAMED} more" if len(walked.passed) > _NAMED else "")
        for place, walked in walks
        if walked.passed
    ]


def _reduced(roots: Roots, only: frozenset[str]) -> Roots:
    left_out = [each.label for each in roots.places if each.label not in only]
    said = (f"not looked at, as was asked: {', '.join(left_out)}",) if left_out else ()
    places = tuple(each for each in roots.places if each.label in only)
    return msgspec.structs.replace(roots, places=places, unknown=(*roots.unknown, *said))


def conda_state(prefix: str) -> list[str]:
    """Name and state of each of conda's lists in `prefix`."""
    try:
        with os.scandir(f"{prefix}/conda-meta") as entries:
            states = [(entry.name, entry.stat()) for entry in entries]
    except OSError:
        return []
    return sorted(
        f"conda\0{name}\0{each.st_ino}\0{each.st_size}\0{each.st_mtime_ns}\0{each.st_ctime_ns}" for name, each in states
    )
