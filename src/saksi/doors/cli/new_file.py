"""A file that a command makes: whole and flushed, or not there; never over another one."""

from __future__ import annotations

import os
from pathlib import Path

from saksi.edges.store.durable import told, write_whole
from saksi.words.errors import UsageError

__all__ = ["make_new_file", "require_new"]


def require_new(path: Path) -> None:
    """Returns if nothing is at `path` yet and a file can be made there: to be asked before long work.

    Raises `UsageError`.
    """
    if os.path.lexists(path):
        raise UsageError(f"{path} is there already", remedy="choose another name with -o, or remove it")
    if not path.parent.is_dir():
        raise UsageError(f"{path.parent} is no folder", remedy="make it, or choose another name with -o")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise UsageError(f"{path.parent} cannot be written to", remedy="choose another folder with -o")


def make_new_file(path: Path, content: bytes) -> None:
    """The new file `path` with `content`. Raises `UsageError` if it is there, `StoreError`."""
    with told("write", path):
        try:
            write_whole(path, content)
        except FileExistsError:
            raise UsageError(f"{path} is there already", remedy="choose another name with -o, or remove it") from None
