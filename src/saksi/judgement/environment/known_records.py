"""Lists that are wrong for an honest reason, and files that no list names though nobody slipped them in.

Each shape has its reason. Whoever adds one says who makes such environments; nothing stands here to make a difference
go away that was not understood. A file allowed here is not thereby known: what it says is listed nowhere, and the
report counts it among what had to be trusted.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

import msgspec

__all__ = [
    "FIRST_LINES",
    "KNOWN_ROWS",
    "KNOWN_SYSTEM_ROWS",
    "KNOWN_UNLISTED",
    "KnownShape",
    "known_row",
    "known_unlisted",
]


class KnownShape(msgspec.Struct, frozen=True, kw_only=True):
    """`labels` are the roots in which it is known (by the beginning of their label), `path` a pattern for all of it.

    `executes` says whether Python, or a shell that is asked to, would run such a file. A row that is known
    `without_digest` is known in that case alone: one that has a digest must equal its file.
    """

    name: str
    reason: str
    path: re.Pattern[str]
    labels: tuple[str, ...] = ("purelib", "platlib", "base-site", "user-site", "path:", "editable:", "stdlib")
    executes: bool = False
    without_digest: bool = False


def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(text, re.DOTALL)


_METADATA: Final = r"[^/]+\.dist-info/"

KNOWN_ROWS: Final[tuple[KnownShape, ...]] = (
    KnownShape(
        name="bytecode",
        reason="bytecode is made when a package is installed or first imported, and made again or removed at any time; "
        "it is judged by its source",
        path=_pattern(r".*\.py[co]|(.*/)?__pycache__"),
        labels=("",),
    ),
    KnownShape(
        name="own-list",
        reason="a list cannot hold its own digest, nor those of its signatures",
        path=_pattern(_METADATA + r"RECORD(\.jws|\.p7s)?"),
    ),
    KnownShape(
        name="installer-marks",
        reason="conda and distributors put their own name into INSTALLER after the list was made, and remove REQUESTED "
        "and direct_url.json; nothing executes these files",
        path=_pattern(_METADATA + r"(INSTALLER|REQUESTED|direct_url\.json)"),
    ),
    KnownShape(
        name="virtualenv-marks",
        reason="virtualenv adds an empty file for each package that it seeds, and lists it without a digest",
        path=_pattern(r"[^/]+\.virtualenv"),
        without_digest=True,
    ),
    KnownShape(
        name="generated-scripts",
        reason="scripts that an installer made from entry points and listed without a digest, as virtualenv does",
        path=_pattern(r"[^/]+"),
        labels=("scripts",),
        executes=True,
        without_digest=True,
    ),
)
"""Rows that may differ, be missing, or have no digest."""

KNOWN_SYSTEM_ROWS: Final[tuple[KnownShape, ...]] = (
    KnownShape(
        name="stripped",
        reason="distributions strip shared objects after the list was made: their content cannot be compared with it",
        path=_pattern(r".*\.so"),
        labels=("base-site", "purelib"),
        executes=True,
    ),
    KnownShape(
        name="moved-scripts",
        reason="distributions build into a folder `scripts`, which the list still names, and install into another",
        path=_pattern(r"(\.\./)?scripts(-[0-9.]+)?/[^/]+"),
        labels=("base-site", "purelib"),
    ),
)
"""The same, in the folder where the packages of Debian and its kin lie. What executes is not checked then."""

KNOWN_UNLISTED: Final[tuple[KnownShape, ...]] = (
    KnownShape(
        name="bytecode",
        reason="made by Python at the first import; it is judged by its source",
        path=_pattern(r"(.*/)?__pycache__/[^/]+\.py[co]"),
        labels=("",),
    ),
    KnownShape(
        name="installer-marks",
        reason="written by the installer beside the list; nothing executes them",
        path=_pattern(
            _METADATA + r"(RECORD(\.jws|\.p7s)?|INSTALLER|REQUESTED|direct_url\.json|uv_cache\.json|uv_build\.json)"
        ),
    ),
    KnownShape(
        name="activation",
        reason="scripts for shells, made by venv and virtualenv with the place of the environment in them",
        path=_pattern(r"([Aa]|dea)ctivate(_this\.py|\.(csh|fish|nu|ps1|bat|xsh|elv))?|pydoc\.bat"),
        labels=("scripts",),
        executes=True,
    ),
    KnownShape(
        name="site-readme",
        reason="CPython installs it into the site folder of the interpreter itself",
        path=_pattern(r"README(\.txt)?"),
    ),
    KnownShape(
        name="virtualenv",
        reason="virtualenv puts them into each environment that it makes, to steer old build tools; no list has them",
        path=_pattern(r"_virtualenv\.(py|pth)"),
        executes=True,
    ),
    KnownShape(
        name="development-links",
        reason="setuptools writes them for an installation in development mode, one line for all such installations",
        path=_pattern(r"(easy-install|setuptools)\.pth|[^/]+\.egg-link"),
        executes=True,
    ),
    KnownShape(
        name="numba-cache",
        reason="numba keeps the machine code that it compiled beside the source; it cannot be compared with anything",
        path=_pattern(r"(.*/)?__pycache__/[^/]+\.nb[ic]"),
        executes=True,
    ),
    KnownShape(
        name="pytest-cache",
        reason="pytest keeps its own bytecode of tests in the same folders; an import does not read it",
        path=_pattern(r"(.*/)?__pycache__/[^/]+-pytest-[^/]+\.pyc(\.[0-9]+)?"),
    ),
)
"""Files that no list has and that are no difference."""

FIRST_LINES: Final = (b"#!python", b"#!pythonw", b"#!python3")
"""What a wheel's script begins with until the installer writes the interpreter's path there. Installers that leave the
wheel's digest in the list make a row that no installed script can equal; such a row is compared without that line."""


def known_row(label: str, path: str, *, system: bool = False, digest: bool = True) -> KnownShape | None:
    """The reason for which a row of this path may differ from its file, if there is one.

    `system` is whether the root holds the system's own packages, `digest` whether the row has a digest.
    """
    known = (each for each in KNOWN_ROWS if not (digest and each.without_digest))
    return _first(known, label, path) or (_first(KNOWN_SYSTEM_ROWS, label, path) if system else None)


def known_unlisted(label: str, path: str) -> KnownShape | None:
    """The reason for which a file of this path may be in no list, if there is one."""
    return _first(KNOWN_UNLISTED, label, path)


def _first(shapes: Iterable[KnownShape], label: str, path: str) -> KnownShape | None:
    for shape in shapes:
        if label.startswith(shape.labels) and shape.path.fullmatch(path) is not None:
            return shape
    return None
