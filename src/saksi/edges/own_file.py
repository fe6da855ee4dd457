"""Reading a file of the home that decides something: only what this account, or root, alone can have written.

A link, a device, a pipe, a file of another account or one that others may write is refused, since whoever wrote it
would decide instead.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Final

from saksi.words.errors import UsageError

__all__ = ["read_own_file", "require_own"]

_OTHERS_WRITE: Final = 0o022


def read_own_file(path: Path, limit: int) -> bytes | None:
    """At most `limit` bytes and one more of `path`; `None` if it is not there. Raises `UsageError`, `OSError`."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return None
    with open(descriptor, "rb") as file:  # noqa: PTH123 - a descriptor, opened without following a link
        require_own(path, descriptor)
        return file.read(limit + 1)


def require_own(path: Path, descriptor: int) -> None:
    """Refuses an open file that is not of this account or root, or that others may write. Raises `UsageError`."""
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode) or found.st_uid not in (os.geteuid(), 0):
        raise UsageError(f"{path} is not a file of this account", remedy="look who put it there, and move it away")
    if stat.S_IMODE(found.st_mode) & _OTHERS_WRITE:
        raise UsageError(f"{path} can be written by other accounts", remedy=f"chmod go-w {path}")
