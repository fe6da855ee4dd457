"""Lists that are wrong for an honest reason, and files that no list names though nobody slipped them in.

Each shape has its reason. Whoever adds one says who makes such environments; nothing stands here to make a difference
go away that was not understood. A file allowed here is not thereby known: what it says is listed nowhere, and the
report counts it among what had to be trusted. What every start executes is held to its content.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

import msgspec

from saksi.judgement.environment.pth import Version, parse_pth
from saksi.words.digest import sha256

__all__ = [
    "FIRST_LINES",
    "KNOWN_ROWS",
    "KNOWN_SYSTEM_ROWS",
    "KNOWN_UNLISTED",
    "MAX_KNOWN_BYTES",
    "KnownShape",
    "holds",
    "known_row",
    "known_unlisted",
]


class KnownShape(msgspec.Struct, frozen=True, kw_only=True):
    """`labels` are the roots in which it is known (by the beginning of their label), `path` a pattern for all of it.

    `executes` says whether Python, or a shell that is asked to, would run such a file. A row that is known
    `without_digest` is known in that case alone: one that has a digest must equal its file.

    A file that every start executes is known by its whole content: one of `digests`, or a `.pth` that names folders
    and executes none but `lines`. Of another content it is not known, or, where its maker changes it now and then, it
    could not be judged: `otherwise`.
    """

    name: str
    reason: str
    path: re.Pattern[str]
    labels: tuple[str, ...] = ("purelib", "platlib", "base-site", "user-site", "path:", "editable:", "stdlib")
    executes: bool = False
    without_digest: bool = False
    digests: frozenset[str] = frozenset()
    lines: frozenset[str] | None = None
    otherwise: str | None = None


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

_VIRTUALENV: Final = frozenset(
    f"sha256:{each}"
    for each in (
        "684b8c07932ba4a84ac2e5ae9afe49ef04e92bac3d8d4191d455cf09d093e5fc",
        "ce57d5e0d9b5d7356cb42da7450ba8f9359bdf693e335f4c921626943c77e64d",
        "c9199315871b11b12df226f890a38e66e63191e1adbfb11a66e6861151b33fca",
        "f4dfaeb9efc1614890cfa94ed15bbe9b2ee15fbe76d569ef5e435e93e4987dc7",
        "119e4eb9c1a39e6ffd220840844bd326fa1bd3acf2f1c9fa0612949aedc228a5",
        "0aeb86546345c1d0fada097536e35525714d5cdbcc2d8eb3f9912a955044fcff",
        "0f20351ea7e90039c46d3fabdef991f28b1e3ff33eb13ee6f0d5cd21ea0e8b14",
        "cfe56cafbd68fd31a0e87100f111d7d2f6b7157241096500013c07e88d80a22f",
        "ee52b2e2e720a40885a6b4b90c40e28e5c70e550af74d5efd169eaa5db2a6f6f",
        "e3e10c8a19a62a49928c139b8e6824eac92dcdda7639953bcd10921011cbbdff",
        "6cf30c56faf2a55228914dbbd17f8088ed371ebb08f5e7fa6fd931f913fcaf1d",
    )
)
"""`_virtualenv.py` of virtualenv 20.0 to 21.15 (the first eight) and of uv 0.1 to 0.9, from their own archives."""
_MOVED_FORWARD: Final = frozenset(
    {
        "import sys; sys.__plen = len(sys.path)",
        (
            "import sys; new=sys.path[sys.__plen:]; del sys.path[sys.__plen:]; p=getattr(sys,'__egginsert',0); "
            "sys.path[p:p]=new; sys.__egginsert = p+len(new)"
        ),
        (
            "import sys; new = sys.path[sys.__plen:]; del sys.path[sys.__plen:]; p = getattr(sys, '__egginsert', 0); "
            "sys.path[p:p] = new; sys.__egginsert = p + len(new)"
        ),
    }
)
"""With these setuptools moved the folders between them forward."""
_READERS: Final[tuple[Version, ...]] = ((3, 8, 0), (3, 12, 0), (3, 13, 0), (3, 15, 0))
"""Versions of Python that do not take the same lines of a `.pth` file for ones to execute."""
MAX_KNOWN_BYTES: Final = 65_536
"""Of a file whose content is looked at; real ones have a line for each checkout."""

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
        reason="virtualenv and uv put them into each environment that they make, to steer old build tools; no list has "
        "them",
        path=_pattern(r"_virtualenv\.pth"),
        executes=True,
        digests=frozenset({str(sha256(b"import _virtualenv")), str(sha256(b"import _virtualenv\n"))}),
    ),
    KnownShape(
        name="virtualenv-module",
        reason="virtualenv and uv put it into each environment that they make, to steer old build tools; its content "
        "is one that they are known to have written",
        path=_pattern(r"_virtualenv\.py"),
        executes=True,
        digests=_VIRTUALENV,
        otherwise="every start executes it, no list has it, and virtualenv and uv are not known to have written this "
        "content: read it",
    ),
    KnownShape(
        name="development-paths",
        reason="setuptools writes them for an installation in development mode, one line for all such installations",
        path=_pattern(r"(easy-install|setuptools)\.pth"),
        executes=True,
        lines=_MOVED_FORWARD,
    ),
    KnownShape(
        name="development-links",
        reason="setuptools writes them for an installation in development mode; the checkout that one names is listed",
        path=_pattern(r"[^/]+\.egg-link"),
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


def holds(shape: KnownShape, digest: str | None, content: bytes | None) -> bool:
    """Whether a file is what its shape says of its content; `None` is a content that was not read."""
    if shape.digests:
        return digest in shape.digests
    if shape.lines is None:
        return True
    if content is None:
        return False
    read = [parse_pth(content, version, has_start=False) for version in _READERS]
    return {line.text.strip() for each in read for line in each.executed} <= shape.lines


def _first(shapes: Iterable[KnownShape], label: str, path: str) -> KnownShape | None:
    for shape in shapes:
        if label.startswith(shape.labels) and shape.path.fullmatch(path) is not None:
            return shape
    return None
