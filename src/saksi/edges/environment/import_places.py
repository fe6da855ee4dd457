"""Top-level modules that came from somewhere else than the environment, while the environment has the name too.

Which module was imported from where is the job's word; where else one of that name lies is looked up here, in the
standard library and the site folders of the interpreter that the seal names, and of whatever else was imported.

BUG: a copy of a package within the site folders, editable installations among them, is not told from the original;
modules that are extension modules, or have no file, are not claimed.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final, Literal

from saksi.edges.environment.installations import LIBRARY, SITE, Installations
from saksi.edges.environment.object_places import SealedFiles
from saksi.edges.environment.source_places import SourcePlaces
from saksi.edges.files import OnBehalf, read_file
from saksi.words.records import ShadowedImport

__all__ = ["MAX_MODULES", "is_foreign", "shadowed_imports", "sites_among"]

MAX_MODULES: Final = 2_048
"""Top-level modules of one process that lie outside the environment: a program's own are a few."""
MAX_TOLD: Final = 64
MAX_SOURCE: Final = 16 << 20
"""Bytes of a module that are read; it is the job that says what a module is."""
MAX_PATH: Final = 4_096
_Home = Literal["library", "package"]


def is_foreign(path: str, installations: Installations) -> bool:
    """Whether a module's file lies neither in a site folder nor in a standard library, of those of the interpreter."""
    return not any(installations.has(Path(each)) for each in sites_among((path,)))


def sites_among(paths: Iterable[str]) -> tuple[str, ...]:
    """The site folders and standard libraries in which these files lie."""
    found: dict[str, None] = {}
    for path in paths:
        parts = path.split("/")[:-1]
        at = next((n for n, each in enumerate(parts) if each in SITE or LIBRARY.match(each) is not None), None)
        if at is not None:
            inner = next((n for n in range(at + 1, len(parts)) if parts[n] in SITE), at)
            found["/".join(parts[: inner + 1])] = None
    return tuple(found)


def shadowed_imports(
    modules: Iterable[tuple[str, str]],
    folders: Iterable[str],
    places: SourcePlaces,
    sealed: SealedFiles | None,
    *,
    on_behalf_of: OnBehalf | None = None,
    is_over: Callable[[], bool] = lambda: False,
) -> list[ShadowedImport]:
    """Those of `modules` (name and path) of which `folders`, site folders and libraries, have another. Never raises.

    Between folders, and between files, it ends once `is_over`.
    """
    names = {name: path for name, path in modules if is_foreign(path, places.installations)}
    told: list[ShadowedImport] = []
    for name, other, home in _found(frozenset(names), folders, is_over):
        if is_over():
            break
        path = names.pop(name, None)
        if path is None or len(told) >= MAX_TOLD or _is_same(path, other):
            continue
        origin = places.place(path).origin
        if origin == "recorder":
            continue
        was = None if sealed is None else _was_sealed(path, sealed)
        digest = read_file(Path(path), MAX_SOURCE, on_behalf_of=on_behalf_of).found.digest
        told.append(
            ShadowedImport(
                name=name[:256],
                path=path[:MAX_PATH],
                origin=origin,
                sealed=was,
                digest=None if digest is None else str(digest),
                other=other[:MAX_PATH],
                other_origin=home,
            )
        )
    return told


def _found(
    names: frozenset[str], folders: Iterable[str], is_over: Callable[[], bool]
) -> Iterator[tuple[str, str, _Home]]:
    """Where else modules of these names lie, the standard library first."""
    ordered = sorted(dict.fromkeys(folders), key=lambda each: each.rpartition("/")[2] in SITE)
    for folder in ordered:
        home: _Home = "package" if folder.rpartition("/")[2] in SITE else "library"
        for inner in (folder, f"{folder}/lib-dynload") if home == "library" else (folder,):
            for entry in () if is_over() else _entries(inner):
                name = entry.split(".", 1)[0]
                if name in names and (found := _module(inner, entry)) is not None:
                    yield name, found, home


def _entries(folder: str) -> list[str]:
    try:
        return sorted(os.listdir(folder))  # noqa: PTH208 - as text: some hundreds of names
    except OSError:
        return []


def _module(folder: str, entry: str) -> str | None:
    if entry.endswith(".py") and entry.count(".") == 1:
        return f"{folder}/{entry}"
    if entry.endswith(".so"):
        return f"{folder}/{entry}"
    inner = f"{folder}/{entry}/__init__.py"
    return inner if "." not in entry and os.path.isfile(inner) else None  # noqa: PTH113 - as text


def _is_same(path: str, other: str) -> bool:
    try:
        return os.path.samefile(path, other)  # noqa: PTH121 - as text
    except (OSError, ValueError):
        return False


def _was_sealed(path: str, sealed: SealedFiles) -> bool:
    try:
        return sealed.at(os.path.realpath(path), os.stat(path)) is not None  # noqa: PTH116 - as text
    except (OSError, ValueError):
        return False
