"""What is installed, and which files each distribution claims: RECORD rows and conda's lists as one kind of value.

Rules:

- A claim names a file as the tree does: label of its root and path. A path that leaves every root stays with the root
  of its list, as it is written there (`../../../share/man/man1/x.1`).
- A file may be claimed more than once (`google/__init__.py`, a package that conda and pip both installed).
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Mapping
from typing import Final, Literal

import msgspec

from saksi.judgement.environment.record_file import RecordRow

__all__ = ["Claim", "InstalledDistribution", "Kind", "Places", "claims_of"]

Kind = Literal["wheel", "conda", "unlisted"]
"""`wheel`: it has a RECORD; `conda`: a file in conda-meta; `unlisted`: no list of its files that has digests."""


_OF_TARGET: Final = "../../"
"""`pip install --target` makes its list for `lib/python` below a folder and moves everything into the folder itself."""


class InstalledDistribution(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One distribution in the root `label`: `place` is the name of its metadata, relative to that root.

    `rows` are as written, relative to the root. `reason` says why there is no list. `modules` are the top-level names
    that it says it has. `editable` is its checkout.
    """

    name: str
    version: str
    kind: Kind
    label: str
    place: str
    rows: tuple[RecordRow, ...] = ()
    reason: str | None = None
    modules: tuple[str, ...] = ()
    installer: str | None = None


class Claim(msgspec.Struct, frozen=True, gc=False):
    """One distribution's word about one file. `algorithm` names one whose digest is not computed here."""

    owner: str
    kind: Kind
    digest: str | None
    size: int | None
    algorithm: str | None = None


class Places:
    """Where the roots lie, as text: turns what a list says into label and path."""

    def __init__(self, folders: Mapping[str, str]) -> None:
        self._folders = dict(folders)
        # The interpreter's own folder is often that of the scripts; a list that names a file there means a script.
        others = ((f"{each}/", label) for label, each in folders.items() if label != "executable")
        self._longest_first = sorted(others, key=_length)

    def find(self, label: str, path: str) -> tuple[str, str]:
        """The file that `path` means in the root `label`, by the name that the tree has for it."""
        folder = self._folders.get(label)
        if folder is None:
            return label, path
        absolute = posixpath.normpath(posixpath.join(folder, path))
        for each, found in self._longest_first:
            if absolute.startswith(each):
                return found, absolute[len(each) :]
        return label, posixpath.relpath(absolute, folder)

    def nested(self, label: str) -> bool:
        """Whether another root lies inside this one."""
        own = f"{self._folders.get(label)}/"
        return any(each != own and each.startswith(own) for each, _ in self._longest_first)


def _length(each: tuple[str, str]) -> int:
    return -len(each[0])


def claims_of(distributions: Iterable[InstalledDistribution], places: Places) -> dict[str, dict[str, list[Claim]]]:
    """Every claim, by label and path."""
    claims: dict[str, dict[str, list[Claim]]] = {}
    for each in distributions:
        here = claims.setdefault(each.label, {})
        plain = not places.nested(each.label)
        for row in each.rows:
            path = row.path
            if each.label.startswith("path:") and path.startswith(_OF_TARGET):
                path = path[len(_OF_TARGET) :]
            claim = Claim(each.name, each.kind, row.digest, row.size, row.algorithm)
            if plain and path[0] not in "./":
                if path in here:
                    here[path].append(claim)
                else:
                    here[path] = [claim]
            else:
                label, path = places.find(each.label, path)
                claims.setdefault(label, {}).setdefault(path, []).append(claim)
    return claims
