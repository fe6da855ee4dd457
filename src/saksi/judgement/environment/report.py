"""`saksi.env-verify/v1`: what was compared with what, what differs, what could not be checked, what had to be trusted.

Rules:

- `verified` is said against an external manifest only. `self-consistent` means that nothing contradicts the lists that
  lie beside the files; whoever can change a file there can change its list.
- Any difference makes the verdict `differs`; else anything that could not be checked makes it `not_checkable`.
- A note alleges nothing and decides nothing.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

__all__ = [
    "DIFFERENCE_KINDS",
    "BytecodeCounts",
    "Compared",
    "EnvironmentDifference",
    "EnvironmentReport",
    "EnvironmentVerdict",
    "NotChecked",
    "Note",
    "PythonLine",
    "RootLine",
]

EnvironmentVerdict = Literal["verified", "self-consistent", "differs", "not_checkable"]
DifferenceKind = Literal[
    "content_differs",
    "missing",
    "unowned",
    "bytecode_differs",
    "bytecode_unchecked",
    "bytecode_without_source",
]
DIFFERENCE_KINDS: Final[tuple[DifferenceKind, ...]] = (
    "bytecode_differs",
    "bytecode_unchecked",
    "bytecode_without_source",
    "content_differs",
    "missing",
    "unowned",
)
Compared = Literal["manifest", "records"]


class _Document(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A part of a document: every field is always there."""


class EnvironmentDifference(_Document, frozen=True, kw_only=True):
    """One file that is not as it should be. `object` is the first function that differs, where bytecode does."""

    kind: DifferenceKind
    label: str
    path: str
    distribution: str | None
    object: str | None
    message: str


class NotChecked(_Document, frozen=True, kw_only=True):
    """What could not be judged, and why: a file, a distribution, a whole root. `files` says how many it stands for."""

    label: str | None
    path: str | None
    distribution: str | None
    files: int
    reason: str


class Note(_Document, frozen=True, kw_only=True):
    """Something worth knowing that stands against nothing; `path` is the first of `files`."""

    label: str | None
    path: str | None
    files: int
    message: str


class PythonLine(_Document, frozen=True, kw_only=True):
    """The interpreter that was asked for its paths, as it says of itself; null where it could not be asked."""

    path: str
    real_path: str | None
    version: str | None
    implementation: str | None
    prefix: str


class RootLine(_Document, frozen=True, kw_only=True):
    """One root: how many files, how many of them equal a list or the manifest, how many nothing lists."""

    label: str
    folder: str
    files: int
    bytes: int
    matched: int
    unlisted: int


class BytecodeCounts(_Document, frozen=True, kw_only=True):
    """Every `.pyc`, by what was found. `equal` have the code of their source; Python passes over `not_executed`."""

    files: int
    equal: int
    differ: int
    not_executed: int
    listed: int
    not_checked: int


class EnvironmentReport(_Document, frozen=True, kw_only=True):
    """`saksi env verify --json`. `tree` is the tree digest of everything but bytecode, null if a file was not read."""

    schema: Literal["saksi.env-verify/v1"] = "saksi.env-verify/v1"
    verdict: EnvironmentVerdict
    compared_with: Compared
    sentence: str
    python: PythonLine
    tree: str | None
    distributions: int
    roots: tuple[RootLine, ...]
    bytecode: BytecodeCounts
    differences: tuple[EnvironmentDifference, ...]
    not_checkable: tuple[NotChecked, ...]
    trusted: tuple[str, ...]
    notes: tuple[Note, ...]
