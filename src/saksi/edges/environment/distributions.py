"""Installed distributions, by the names of their metadata folders: a listing of a few folders, no file is opened.

What the files of a distribution say is another question, which a name and a version do not answer.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from saksi.judgement.redaction import printable
from saksi.judgement.seal import Distribution

__all__ = ["distribution_of", "installed", "normal_name"]

_MAX_METADATA: Final = 65_536
_WHEEL: Final = re.compile(r"(?P<name>.+?)-(?P<version>[^-]+)\.dist-info")
_EGG: Final = re.compile(r"(?P<name>.+?)-(?P<version>[^-]+)(?:-py[0-9.]+(?:-.+)?)?\.egg-info")
_VERSION: Final = re.compile(rb"^Version:\s*(\S+)", re.MULTILINE)


def installed(folders: Iterable[Path]) -> tuple[Distribution, ...]:
    """Every distribution in `folders`, sorted. A folder that is not there has none."""
    found: set[Distribution] = set()
    for folder in folders:
        try:
            names = os.listdir(folder)  # noqa: PTH208 - a thousand Path objects would cost more than the listing
        except (OSError, ValueError):
            continue
        for name in names:
            if name.endswith((".dist-info", ".egg-info")):
                found.add(distribution_of(folder, name))
    return tuple(sorted(found))


def distribution_of(folder: Path, name: str) -> Distribution:
    """The distribution whose metadata is the entry `name` of `folder`; a file is opened if the name has no version."""
    parsed = (_WHEEL if name.endswith(".dist-info") else _EGG).fullmatch(name)
    if parsed is not None:
        return _normal(parsed["name"], parsed["version"])
    # `setup.py develop` writes `name.egg-info`: only there the version is inside.
    return _normal(name.rpartition(".")[0], _version_inside(folder / name))


def _version_inside(metadata: Path) -> str:
    for path in (metadata / "PKG-INFO", metadata / "METADATA", metadata):
        try:
            # Whoever may write there could have put a FIFO in its place, and a launch must not wait for one.
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            with open(descriptor, "rb") as file:  # noqa: PTH123 - a descriptor, opened without blocking
                found = _VERSION.search(file.read(_MAX_METADATA) or b"")
        except OSError:
            continue
        if found is not None:
            return found[1].decode("utf-8", "backslashreplace")
    return "not known"


def normal_name(name: str) -> str:
    """The name by which a distribution is known, however it is written."""
    return re.sub(r"[-_.]+", "-", printable(name)).lower()


def _normal(name: str, version: str) -> Distribution:
    return Distribution(name=normal_name(name), version=printable(version)[:200])
