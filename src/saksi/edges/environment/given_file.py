"""A file that somebody named on the command line: read with a bound, and refused if it is no file."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from saksi.words.errors import UsageError

__all__ = ["read_given"]


def read_given(path: Path, limit: int, *, remedy: str) -> bytes:
    """The content of the regular file at `path`; of one longer than `limit`, a byte more than that.

    Raises `UsageError`, also for a pipe or a device, which could be waited for without end.
    """
    try:
        # Without blocking: a FIFO without a writer would hold up the opening itself.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        with open(descriptor, "rb") as file:  # noqa: PTH123 - a descriptor, opened above
            if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                return file.read(limit + 1)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}", remedy=remedy) from None
    raise UsageError(f"{path}: not a regular file", remedy=remedy)
