"""The digest of a file that was just saved, read back at once: by the time the agent reads it, it may be another one.

Rules: only a regular file that still is in the state that was seen, of at most `MAX_BYTES`; never for more than a
hundredth of the time since the first one, so that a program that saves all the time does not pay for it all the time.
"""

# ruff: noqa: PTH123  (plain open: light)

from __future__ import annotations

import hashlib
import os
import stat
import time
from typing import Any, Optional

from .guard import guarded

MAX_BYTES = 16 * 1024 * 1024
SHARE = 100
ALLOWED_NS = 100_000_000  # that may be spent before the share counts
PIECE = 1024 * 1024

_spent_ns = [0]
_began_ns: list[int] = []


@guarded("read_back")
def digest_of(path: str, status: Any) -> Optional[str]:
    """The digest of `path` in the state `status`; None where it is not read, or is in another one by now."""
    began = time.monotonic_ns()
    if not _began_ns:
        _began_ns.append(began)
    allowed = ALLOWED_NS + (began - _began_ns[0]) // SHARE
    if not stat.S_ISREG(status.st_mode) or status.st_size > MAX_BYTES or _spent_ns[0] > allowed:
        return None
    try:
        return _read(path, status)
    except OSError:
        return None
    finally:
        _spent_ns[0] += time.monotonic_ns() - began


def _read(path: str, status: Any) -> Optional[str]:
    digest, length = hashlib.sha256(), 0
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    with open(descriptor, "rb", buffering=0) as file:
        if _state(os.fstat(descriptor)) != _state(status):
            return None
        while length <= status.st_size:
            piece = file.read(PIECE)
            if not piece:
                break
            digest.update(piece)
            length += len(piece)
        if length != status.st_size or _state(os.fstat(descriptor)) != _state(status):
            return None
    return "sha256:" + digest.hexdigest()


def _state(status: Any) -> tuple[int, int, int, int]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
