"""The files of the record that a replay left, by their digests: what its worker signs, and what is looked for again."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path
from typing import Final

__all__ = ["record_files"]

_FOLDERS: Final = ("home", "runs")
"""What of a replay's folder its record can lie in."""


def record_files(scratch: Path) -> dict[str, dict[str, str]]:
    """The digest of everything below these folders by its path, sorted, as in-toto has it. Raises `OSError`.

    A program may have put anything there: of a link counts where it leads, of a socket or a pipe that it is there.
    """
    found: dict[str, dict[str, str]] = {}
    for top in (scratch / each for each in _FOLDERS if (scratch / each).is_dir()):  # none where nothing was started
        for folder, folders, names in os.walk(top, onerror=_raise):
            links = [each for each in folders if Path(folder, each).is_symlink()]
            for name in (*names, *links):
                path = Path(folder, name)
                found[os.fsencode(path.relative_to(scratch)).decode("utf-8", "backslashreplace")] = _digest(path)
    return dict(sorted(found.items()))


def _raise(error: OSError) -> None:
    raise error


def _digest(path: Path) -> dict[str, str]:
    mode = path.lstat().st_mode
    if stat.S_ISLNK(mode):
        return {"saksiLink": hashlib.sha256(os.fsencode(path.readlink())).hexdigest()}
    if not stat.S_ISREG(mode):
        return {"saksiKind": f"{stat.S_IFMT(mode):o}"}
    with path.open("rb") as file:
        return {"sha256": hashlib.file_digest(file, "sha256").hexdigest()}
