"""Finds and reads a project's settings. Only the working directory and its repository are looked at.

Going up further would read what another account may have put into `/tmp` or `/home`.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from saksi.judgement.configuration import MAX_CONFIGURATION_BYTES, Configuration, parse_configuration
from saksi.words.errors import UsageError

__all__ = ["FoundConfiguration", "read_configuration"]


class FoundConfiguration(NamedTuple):
    """The settings, and the file they come from (`None` where there is none)."""

    settings: Configuration
    path: Path | None


def read_configuration(folder: Path) -> FoundConfiguration:
    """The settings for a run in `folder`: of the nearest folder that has any, up to the repository's top.

    In one folder `saksi.toml` goes before `pyproject.toml`. Raises `UsageError`.
    """
    for place in _places(folder):
        for name, table in (("saksi.toml", ()), ("pyproject.toml", ("tool", "saksi"))):
            path = place / name
            content = _content(path)
            # Parsing a large pyproject.toml takes milliseconds; most do not mention us.
            if content is None or (table and b"saksi" not in content):
                continue
            settings = parse_configuration(content, where=str(path), table=table)
            if settings is not None:
                return FoundConfiguration(settings, path)
    return FoundConfiguration(Configuration(), None)


def _places(folder: Path) -> tuple[Path, ...]:
    places = (folder, *folder.parents)
    top = next((index for index, place in enumerate(places) if (place / ".git").exists()), 0)
    return places[: top + 1]


def _content(path: Path) -> bytes | None:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from None
    try:
        with open(descriptor, "rb") as file:  # noqa: PTH123 - a descriptor, opened without blocking on a FIFO
            return file.read(MAX_CONFIGURATION_BYTES + 1)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from None
