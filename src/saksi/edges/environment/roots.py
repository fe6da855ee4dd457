"""Everywhere an interpreter would take code from: its own file, the standard library, site folders, what they point to.

Rules:

- The interpreter is asked for its paths once, isolated. Everything else is read from files: `pyvenv.cfg`, `.pth` lines,
  `.egg-link`, `direct_url.json`, the mapping of an `__editable__` finder. No code of the environment runs.
- The standard library is the one that the environment would use: `home` of `pyvenv.cfg`, and PYTHONHOME, move it. The
  files that move search paths belong to the root `executable`, under names that do not change with their place.
- Each folder has one label. A root that lies inside another is left out of the outer one.
- The folder of a script, and what a program adds to its search path while it runs, are not known here.

BUG: a `.pth` line that begins with `import` can put anything on the search path; `saksi env doors` lists those lines.
Finders of editable installations that keep no mapping in a literal (meson-python, scikit-build-core) are followed to
the checkout that `direct_url.json` names, as a whole.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

from saksi.edges.environment.door_files import DoorFiles
from saksi.edges.environment.editable import pointed_to
from saksi.edges.environment.interpreter import Python, path_files, python_path, user_site, venv_site
from saksi.edges.environment.path_files import home_of
from saksi.edges.environment.search_path import base_of, stdlib_of
from saksi.edges.environment.walk import Place
from saksi.judgement.environment.pth import version_of
from saksi.judgement.redaction import printable

__all__ = ["Roots", "find_roots", "roots_without_interpreter"]

MAX_FURTHER: Final = 10_000
"""Entries of a search path that PYTHONPATH and path lines add."""


class Roots(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be listed. `bounds` say how far outside its folder a list of a root may point.

    `scripts_whole` is whether the folder of scripts belongs to the environment alone.
    """

    places: tuple[Place, ...]
    bounds: dict[str, str]
    prefix: str
    scripts_whole: bool
    trusted: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()


def find_roots(python: Python, environment: Mapping[str, str], folder: Path) -> Roots:
    """Every root of `python` under `environment`, as it would start in `folder`."""
    finder = _Finder(str(python.prefix))
    base_prefix = _interpreter(finder, python, environment)
    base = _base_site(python, base_prefix) if python.sees_base else []
    own = venv_site(python)
    in_venv = bool(own)
    sites, rest = (own, base) if own else (base, [])
    named = _site_labels(sites, rest)
    for label, site in named:
        finder.add(label, str(site), bound=python.prefix if label in {"purelib", "platlib"} else _above(site))
    for site in user_site(python, environment, frozenset()):
        finder.add("user-site", str(site), bound=_above(site))
        named.append(("user-site", site))
    scripts = str(python.prefix / "bin")
    finder.add("scripts", scripts, bound=python.prefix, only=None if in_venv else ())
    for each in python_path(environment, folder):
        finder.add_path(str(each))
    for _, site in named:
        _follow(finder, str(site))
    trusted = (f"{python.path} was asked for its paths, isolated (-I -S): Python {python.file.version}",)
    return finder.roots(scripts_whole=in_venv, trusted=trusted)


def roots_without_interpreter(prefix: Path) -> Roots:
    """What can be found in a venv whose interpreter does not start here: its site folders and its scripts."""
    finder = _Finder(str(prefix))
    sites = sorted({Path(os.path.realpath(each)) for each in prefix.glob("lib*/python3*/site-packages")})
    for label, site in _site_labels(sites, []):
        finder.add(label, str(site), bound=prefix)
    finder.add("scripts", str(prefix / "bin"), bound=prefix)
    for site in sites:
        _follow(finder, str(site))
    return finder.roots(scripts_whole=True, trusted=())


def _above(site: Path) -> Path:
    """The prefix of a site folder: `lib/python3.11/site-packages` is three folders below it."""
    return site.parent.parent.parent


def _site_labels(own: Sequence[Path], base: Sequence[Path]) -> list[tuple[str, Path]]:
    """The folders that are there, each once, with their labels; a label's number is its place in the whole list."""
    labelled: list[tuple[str, Path]] = []
    seen: set[str] = set()
    further = 0
    for at, site in enumerate((*own, *base)):
        real = os.path.realpath(site)
        is_base = at >= len(own)
        has_pure = any(label == "purelib" for label, _ in labelled)
        if is_base or has_pure:
            label = f"base-site:{further}"
            further += 1
        else:
            label = "purelib"
        if real in seen or not os.path.isdir(real):  # noqa: PTH112 - as text
            continue
        seen.add(real)
        if (
            not is_base
            and "/lib64/" in real
            and len({os.path.realpath(each) for each in own}) > 1
            and label == "purelib"
        ):
            label = "platlib"
        labelled.append((label, Path(real)))
    return labelled


def _interpreter(finder: _Finder, python: Python, environment: Mapping[str, str]) -> Path:
    """The interpreter's own files and its standard library; the prefix of the latter is returned."""
    home = home_of(python, DoorFiles())
    base = base_of(python, environment, home)
    _executable(finder, python, home)
    moved = os.path.realpath(base) != os.path.realpath(python.file.base_prefix)
    stdlib = [str(each) for each in stdlib_of(python, base)] if moved else list(python.file.stdlib)
    folders = [each for each in stdlib if os.path.isfile(f"{each}/os.py")]  # noqa: PTH113 - as text
    if home is not None and not home.is_dir():
        finder.unknown.append(f"stdlib: {printable(str(home))}, where pyvenv.cfg says that it is, is not there")
    if not folders:
        finder.unknown.append("stdlib: the interpreter names no folder that holds it")
        return base
    library = os.path.realpath(folders[0])
    others = [os.path.realpath(each) for each in stdlib]
    outside = [os.path.relpath(each, library) for each in others if not f"{each}/".startswith(f"{library}/")]
    finder.add("stdlib", library, bound=Path(library), also=tuple(outside))
    # Its site folder often lies inside; a venv does not look there.
    finder.skip |= {os.path.realpath(each) for each in _base_site(python, base)}
    return base


def _base_site(python: Python, base: Path) -> list[Path]:
    """The site folders of the interpreter below the environment, whose standard library has the prefix `base`."""
    own = f"{python.file.base_prefix}/"
    return [base / each.removeprefix(own) for each in python.file.base_site]  # what was absolute and elsewhere stays


def _executable(finder: _Finder, python: Python, home: Path | None) -> None:
    real = str(python.real_path)
    folder = os.path.dirname(real)  # noqa: PTH120 - as text
    version = ".".join(python.file.version.split(".")[:2])
    # A venv by copies: what starts processes by `sys._base_executable` starts the one that was copied.
    based = () if home is None else (os.path.realpath(home / f"python{version}"),)
    programs = dict.fromkeys((real, *based, *(os.path.realpath(each) for each in python.file.libraries)))
    files = tuple(os.path.relpath(each, folder) for each in programs)
    named = _named(python.real_path, "")
    if python.path != python.real_path:
        named += _named(python.path, "venv/")
    finder.places.append(Place(label="executable", folder=folder, only=files, named=tuple(named)))
    finder.bounds["executable"] = folder
    replaced = python.path.parent / f"{python.path.name}._pth"
    if python.path != python.real_path and replaced.is_file() and version_of(python.file.version) >= (3, 11):
        finder.unknown.append(f"{printable(str(replaced))} replaces the search path: where it leads is not followed")


def _named(program: Path, above: str) -> list[tuple[str, str]]:
    """The files that move the search path of `program`, each by its place below the folder that `bin` lies in."""
    top = program.parent.parent
    return [(f"{above}{each.relative_to(top)}", str(each)) for each in path_files(program)]


class _Finder:
    """Gathers roots; a folder that has a label already gets no second one."""

    def __init__(self, prefix: str) -> None:
        self.prefix = os.path.realpath(prefix)
        self.places: list[Place] = []
        self.bounds: dict[str, str] = {}
        self.unknown: list[str] = []
        self.skip: frozenset[str] = frozenset()
        self._further = 0

    def add(
        self,
        label: str,
        folder: str,
        *,
        bound: Path | str | None = None,
        only: tuple[str, ...] | None = None,
        also: tuple[str, ...] = (),
        checkout: bool = False,
    ) -> None:
        real = os.path.realpath(folder)
        if any(each.folder == real and each.label != "executable" for each in self.places):
            return
        if any(each.label == label for each in self.places) or not os.path.exists(real):  # noqa: PTH110 - as text
            return
        if os.path.isfile(real):  # noqa: PTH113 - a zip file on the search path
            real, only = os.path.dirname(real), (os.path.basename(real),)  # noqa: PTH119, PTH120 - as text
        self.places.append(Place(label=label, folder=real, only=only, also=also, checkout=checkout))
        self.bounds[label] = os.path.realpath(bound) if bound is not None else real

    def add_path(self, folder: str) -> None:
        """A further entry of the search path."""
        if self._further < MAX_FURTHER:
            self.add(f"path:{self._further}", folder, checkout=True)
            self._further += 1

    def roots(self, *, scripts_whole: bool, trusted: tuple[str, ...]) -> Roots:
        """All of them, sorted; each passes over the folders of the others."""
        own = frozenset(each.folder for each in self.places if each.label != "executable" and each.only is None)
        folders = own | self.skip
        places = tuple(
            msgspec.structs.replace(each, skip=folders - {each.folder})
            for each in sorted(self.places, key=lambda place: place.label)
        )
        return Roots(
            places=places,
            bounds=self.bounds,
            prefix=self.prefix,
            scripts_whole=scripts_whole,
            trusted=trusted,
            unknown=tuple(self.unknown),
        )


def _follow(finder: _Finder, site: str) -> None:
    """Editable installations and path lines of one site folder."""
    pointed = pointed_to(site)
    for path in pointed.paths:
        finder.add_path(path)
    for name, paths in pointed.editable.items():
        _add_editable(finder, name, paths)


def _add_editable(finder: _Finder, name: str, paths: Iterable[str]) -> None:
    there = [os.path.realpath(each) for each in dict.fromkeys(paths) if os.path.exists(each)]  # noqa: PTH110 - as text
    label = f"editable:{name}"
    if not there:
        finder.unknown.append(f"{label}: its checkout is not there")
        return
    if len(there) == 1 and os.path.isdir(there[0]):  # noqa: PTH112 - as text
        below = os.path.exists(f"{there[0]}/__init__.py")  # noqa: PTH110 - a package itself, from a mapping
        folder = os.path.dirname(there[0]) if below else there[0]  # noqa: PTH120 - as text
        finder.add(label, folder, only=(os.path.basename(there[0]),) if below else None, checkout=True)  # noqa: PTH119
        return
    folder = os.path.commonpath([os.path.dirname(each) for each in there])  # noqa: PTH120 - as text
    finder.add(label, folder, only=tuple(sorted(os.path.relpath(each, folder) for each in there)), checkout=True)
