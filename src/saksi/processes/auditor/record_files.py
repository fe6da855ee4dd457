"""The files of the record that a replay left, by their digests: what its worker signs, and what is looked for again."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Final

from saksi.words.errors import MalformedInput

__all__ = ["record_files"]

_FOLDERS: Final = ("home", "runs")
"""What of a replay's folder its record can lie in."""
MAX_FILES: Final = 50_000
MAX_BYTES: Final = 64 << 30
"""Of all files together, as long as they say that they are: a program may leave one that has no end."""
_WHAT: Final = "record of a replay"


def record_files(scratch: Path) -> dict[str, dict[str, str]]:
    """The digest of every file below these folders by its path, sorted, as in-toto has it.

    Refused as a whole is what no record has: a link, which leads elsewhere and could lead elsewhere later, a pipe, a
    socket, and more than a record may hold. Raises `MalformedInput`, `OSError`.
    """
    files = list(_plain_files(scratch))
    if sum(path.lstat().st_size for path in files) > MAX_BYTES:
        raise MalformedInput(_WHAT, f"more than {MAX_BYTES >> 30} GiB")
    return {_name(path, scratch): _digest(path) for path in sorted(files)}


def _plain_files(scratch: Path) -> list[Path]:
    found: list[Path] = []
    for top in (scratch / each for each in _FOLDERS if os.path.lexists(scratch / each)):  # none if nothing was started
        _require(top, stat.S_ISDIR)
        for folder, folders, names in os.walk(top, onerror=_raise):
            for name in folders:
                _require(Path(folder, name), stat.S_ISDIR)
            for name in names:
                _require(Path(folder, name), stat.S_ISREG)
                found.append(Path(folder, name))
            if len(found) > MAX_FILES:
                raise MalformedInput(_WHAT, f"more than {MAX_FILES:,} files")
    return found


def _require(path: Path, is_right: Callable[[int], bool]) -> None:
    if not is_right(path.lstat().st_mode):
        raise MalformedInput(_WHAT, f"{path.name[:80]!r} is a link, a pipe or a socket")


def _raise(error: OSError) -> None:
    raise error


def _name(path: Path, scratch: Path) -> str:
    return os.fsencode(path.relative_to(scratch)).decode("utf-8", "backslashreplace")


def _digest(path: Path) -> dict[str, str]:
    with path.open("rb") as file:
        return {"sha256": hashlib.file_digest(file, "sha256").hexdigest()}
