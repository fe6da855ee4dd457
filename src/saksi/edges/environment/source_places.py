"""Where a source file lies: the job's own code, an installed package that lists it, the standard library, elsewhere.

An installed package counts as one only if the RECORD of a distribution beside it lists the file, or if it is an
editable installation of that folder of packages; and the folder has to be one of the interpreter that the seal names,
of its PYTHONPATH, or of the account's own packages. Whether the file is what was installed is asked elsewhere.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

import msgspec

import saksi
from saksi.edges.environment.installations import LIBRARY, SITE, SYSTEM_PACKAGES, Installations
from saksi.edges.files import OnBehalf, read_file
from saksi.words.records import SourceOrigin

__all__ = ["OwnCode", "Placed", "SourcePlaces"]

RECORDER: Final = Path(saksi.__file__).parent / "recorder" / "path"
MAX_RECORD_BYTES: Final = 16 * 1024 * 1024
"""Torch's own, the longest there is, has 1.5 MB."""
MAX_DIRECT_URL_BYTES: Final = 65_536
"""A URL and a few flags."""
MAX_DISTRIBUTIONS: Final = 4_096
MAX_LEVELS: Final = 64


class OwnCode(msgspec.Struct, frozen=True, kw_only=True):
    """The command's script, the folders of the user's own code, and where packages are, as the seal names them.

    `installations` are the folders below which the interpreter has its library and its packages; `None` if the seal
    names no interpreter: then any folder counts as what its name says. `sites` are its site folders, whose path lines
    may point to further ones.
    """

    script: str | None = None
    folders: tuple[str, ...] = ()
    installations: tuple[str, ...] | None = None
    sites: tuple[str, ...] = ()


class Placed(msgspec.Struct, frozen=True, kw_only=True):
    """A file's origin, and the package that it belongs to (or the file itself)."""

    origin: SourceOrigin
    unit: str


class _Distribution(msgspec.Struct, frozen=True):
    """What of direct_url.json (PEP 610) is asked for."""

    url: str = ""
    dir_info: dict[str, bool] = {}


class SourcePlaces:
    """Answers for one attempt; remembers what it has read. Owned by one thread.

    With `on_behalf_of`, lists are read only if that account could read them by itself.
    """

    def __init__(self, own: OwnCode, *, on_behalf_of: OnBehalf | None = None) -> None:
        self._own = own
        self._on_behalf_of = on_behalf_of
        self.installations = Installations(own.installations, own.sites, on_behalf_of=on_behalf_of)
        self._listed: dict[tuple[Path, str], frozenset[str]] = {}
        self._editable: dict[Path, tuple[Path, ...]] = {}

    def place(self, path: str) -> Placed:
        """Where `path` lies. Never raises."""
        try:
            return self._place(Path(path))
        except (OSError, ValueError):
            return Placed(origin="elsewhere", unit=path)

    def _place(self, path: Path) -> Placed:
        if path.is_relative_to(RECORDER):
            return Placed(origin="recorder", unit=str(RECORDER))
        site = _site_of(path)
        if site is not None and self.installations.has(site):
            below = path.relative_to(site)
            listed = site == SYSTEM_PACKAGES or str(below) in self._files(site, below.parts[0])
            self._editables(site)
            return Placed(origin="package" if listed else "elsewhere", unit=str(site / below.parts[0]))
        library = next((each for each in path.parents if LIBRARY.match(each.name) and (each / "os.py").is_file()), None)
        if site is None and library is not None and self.installations.has(library):
            return Placed(origin="library", unit=str(library))
        unit = str(_package_of(path))
        if str(path) == self._own.script:
            return Placed(origin="script", unit=unit)
        if any(path.is_relative_to(each) for each in self._own.folders):
            return Placed(origin="tree", unit=unit)
        if any(path.is_relative_to(each) for found in self._editable.values() for each in found):
            return Placed(origin="package", unit=unit)
        return Placed(origin="elsewhere", unit=unit)

    def _files(self, site: Path, top: str) -> frozenset[str]:
        """The files of the installed distributions of `site` that lie below `top`."""
        found = self._listed.get((site, top))
        if found is None:
            listed: set[str] = set()
            for record in sorted(site.glob("*.dist-info/RECORD"))[:MAX_DISTRIBUTIONS]:
                listed.update(line for line in self._lines(record) if line == top or line.startswith(f"{top}/"))
            found = self._listed[site, top] = frozenset(listed)
        return found

    def _editables(self, site: Path) -> None:
        if site in self._editable:
            return
        folders = []
        for file in sorted(site.glob("*.dist-info/direct_url.json"))[:MAX_DISTRIBUTIONS]:
            content = read_file(file, MAX_DIRECT_URL_BYTES, on_behalf_of=self._on_behalf_of).content
            try:
                found = msgspec.json.decode(content or b"{}", type=_Distribution)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                continue
            url = urlsplit(found.url)
            if found.dir_info.get("editable") and url.scheme == "file" and len(url.path) > 1:
                folders.append(Path(unquote(url.path)))
        self._editable[site] = tuple(folders)

    def _lines(self, record: Path) -> list[str]:
        """The paths that a RECORD lists (the CSV of PEP 376; a path with a comma is quoted, and not looked for)."""
        content = read_file(record, MAX_RECORD_BYTES, on_behalf_of=self._on_behalf_of).content or b""
        return [line.split(",", 1)[0] for line in content.decode("utf-8", "replace").splitlines()]


def _site_of(path: Path) -> Path | None:
    return next((each for each in path.parents if each.name in SITE), None)


def _package_of(path: Path) -> Path:
    """The outermost package around a module, or the module itself."""
    outermost = path
    for each in list(path.parents)[:MAX_LEVELS]:
        if not (each / "__init__.py").is_file():
            break
        outermost = each
    return outermost
