"""A file that a command makes: whole and flushed, or not there; never over another one."""

from __future__ import annotations

from pathlib import Path

from saksi.edges.store.durable import told, write_new
from saksi.words.errors import UsageError

__all__ = ["make_new_file", "require_new"]


def require_new(path: Path) -> None:
    """Returns if nothing is at `path` yet: to be asked before long work. Raises `UsageError`."""
    if path.is_symlink() or path.exists():
        raise UsageError(f"{path} is there already", remedy="choose another name, or remove it")
    if not path.parent.is_dir():
        raise UsageError(f"{path.parent} is no folder", remedy="make it, or choose another name")


def make_new_file(path: Path, content: bytes) -> None:
    """The new file `path` with `content`. Raises `UsageError` if it is there, `StoreError`."""
    with told("write", path):
        try:
            write_new(path, content, durable=True)
        except FileExistsError:
            raise UsageError(f"{path} is there already", remedy="choose another name, or remove it") from None
        except BaseException:
            path.unlink(missing_ok=True)  # half a file would be taken for a changed one
            raise
