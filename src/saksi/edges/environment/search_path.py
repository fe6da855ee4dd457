"""Where an interpreter looks for modules when it starts, and which file a name would be imported from.

Nothing is imported and nothing of the environment is started: folders are listed as the import system lists them.

BUG: finders that other code installs (editable installations, `sys.meta_path`) are not asked.
"""

from __future__ import annotations

import os
import re
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

import msgspec

from saksi.edges.environment.interpreter import Python, python_path, site_folders
from saksi.judgement.environment.pth import version_of

__all__ = ["Finder", "Found", "SearchPath", "base_of", "is_archive", "search_path_of", "stdlib_of"]

MAX_ARCHIVE: Final = 1 << 28
"""The standard library as an archive has 12 MB; the directory of a larger one is not read."""
_SOURCES: Final = (".py", ".pyc")
_ARCHIVED: Final = ("/__init__.pyc", "/__init__.py", ".pyc", ".py")
_EXTENSION: Final = re.compile(r"(?:\.[\w-]+)*\.so")
_BELOW: Final = re.compile(r"^/@prefix@/(?P<lib>[^/]+)/(?P<python>[^/]+)/(?:site|dist)-packages$")


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """A file that a name is imported from; in an archive, `path` is the archive and `member` the place in it."""

    path: Path
    member: str | None = None

    @property
    def named(self) -> str:
        """The whole path."""
        return str(self.path) if self.member is None else f"{self.path}/{self.member}"


class SearchPath(msgspec.Struct, frozen=True, kw_only=True):
    """In order: `first` (PYTHONPATH), `stdlib`, `site`. Folders that `.pth` files add come behind `site`."""

    first: tuple[Path, ...]
    stdlib: tuple[Path, ...]
    site: tuple[Path, ...]

    def all(self) -> tuple[Path, ...]:
        """Every entry, each once."""
        return tuple(dict.fromkeys((*self.first, *self.stdlib, *self.site)))


def base_of(python: Python, environment: Mapping[str, str], home: Path | None) -> Path:
    """The standard library's prefix: PYTHONHOME, else where `home` of `pyvenv.cfg` leads, else the interpreter's."""
    named = environment.get("PYTHONHOME", "").partition(":")[0]
    if named:
        return Path(named)
    return _above(python, home) or Path(python.file.base_prefix)


def _above(python: Python, home: Path | None) -> Path | None:
    """The nearest folder above `home`, it included and the root not, with a standard library of this version.

    Before 3.11 the file was looked for beside the program that a venv's link leads to, where it is not.
    """
    if home is None or (version_of(python.file.version) < (3, 11) and python.path.is_symlink()):
        return None
    lib, name = _library(python)
    for each in (home, *home.parents):
        if each != each.parent and any((each / lib / name / f"os.{end}").is_file() for end in ("py", "pyc")):
            return each
    return None


def search_path_of(
    python: Python, environment: Mapping[str, str], folder: Path, letters: frozenset[str], base: Path
) -> SearchPath:
    """The search path at the end of `site`, but for what `.pth` files add."""
    first = [] if letters & {"I", "E"} else python_path(environment, folder)
    inner = {name: each for name, each in environment.items() if name != "PYTHONPATH"}
    site = site_folders(python, inner, folder, letters)
    if python.prefix != Path(python.file.base_prefix):
        # The venv's own folders come before the user's (`site.venv`).
        own = [each for each in site if each.is_relative_to(python.prefix)]
        site = tuple(dict.fromkeys((*own, *site)))
    return SearchPath(first=tuple(first), stdlib=stdlib_of(python, base), site=site)


def _library(python: Python) -> tuple[str, str]:
    """`lib` and `python3.13t`, as this interpreter has them."""
    major, minor, _ = version_of(python.file.version)
    names = [_BELOW.match(each) for each in python.file.site_below_prefix]
    below = [(each["lib"], each["python"]) for each in names if each is not None and each["python"] != f"python{major}"]
    return below[0] if below else ("lib", f"python{major}.{minor}")


def stdlib_of(python: Python, base: Path) -> tuple[Path, ...]:
    """The standard library below the prefix `base`: the archive that goes first, its folder, its extension modules."""
    major, minor, _ = version_of(python.file.version)
    lib, name = _library(python)
    archive = base / lib / f"python{major}{minor}{'t' if name.endswith('t') else ''}.zip"
    return (archive, base / lib / name, base / lib / name / "lib-dynload")


def is_archive(path: Path) -> bool:
    """Whether an entry of the search path is a file that may be an archive."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


class Finder:
    """Finds the file that a name is imported from. What it saw of a folder or an archive is remembered."""

    def __init__(self) -> None:
        self._names: dict[Path, dict[str, list[str]]] = {}

    def module_in(self, entry: Path, name: str) -> Found | None:
        """What `import name` finds in one entry of the search path. Raises `OSError` if it could not be looked at.

        A folder without `__init__` is a namespace package, which executes nothing: not found. Of a dotted name the
        last part is looked for in the folders of the packages above it.
        """
        parts = name.split(".")
        if not all(part.isidentifier() for part in parts):
            return None
        if is_archive(entry):
            return self._in_archive(entry, "/".join(parts))
        folder = entry.joinpath(*parts[:-1])
        names = self._listed(folder)
        if parts[-1] in names.get(parts[-1], ()) and (folder / parts[-1]).is_dir():
            inside = _first(folder / parts[-1], "__init__", self._listed(folder / parts[-1]))
            if inside is not None:
                return inside
        return _first(folder, parts[-1], names)

    def names_in(self, entry: Path) -> frozenset[str]:
        """The first parts of all names in an entry, whatever they are. Raises `OSError`."""
        return frozenset(self._archived(entry) if is_archive(entry) else self._listed(entry))

    def _listed(self, folder: Path) -> dict[str, list[str]]:
        """The names in a folder, by their part before the first dot."""
        known = self._names.get(folder)
        if known is None:
            try:
                names = os.listdir(folder)  # noqa: PTH208 - names are compared, no Path is needed
            except (FileNotFoundError, NotADirectoryError, ValueError):
                names = []
            known = self._names[folder] = _by_stem(names)
        return known

    def _archived(self, archive: Path) -> dict[str, list[str]]:
        known = self._names.get(archive)
        if known is None:
            known = self._names[archive] = _by_stem(_members(archive))
        return known

    def _in_archive(self, archive: Path, below: str) -> Found | None:
        names = set(self._archived(archive).get(below.partition("/")[0], ()))
        return next((Found(path=archive, member=below + each) for each in _ARCHIVED if below + each in names), None)


def _by_stem(names: Iterable[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for each in names:
        found.setdefault(each.partition("/")[0].partition(".")[0], []).append(each)
    return found


def _first(folder: Path, name: str, names: dict[str, list[str]]) -> Found | None:
    """Extension modules before sources before bytecode alone, as `FileFinder` has it."""
    own = names.get(name, [])
    extensions = sorted(each for each in own if _EXTENSION.fullmatch(each, len(name)) is not None)
    for each in (*extensions, *(name + suffix for suffix in _SOURCES)):
        if each in own and (folder / each).is_file():
            return Found(path=folder / each)
    return None


def _members(archive: Path) -> list[str]:
    if archive.stat().st_size > MAX_ARCHIVE:
        raise OSError(None, f"an archive of more than {MAX_ARCHIVE:,} bytes is not read")
    try:
        with zipfile.ZipFile(archive) as opened:
            return opened.namelist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError, EOFError):
        return []  # no archive: the import system passes over it too
