"""Layers above folders: what is written there is in them, and the folders stay as they are.

Source: the kernel's overlayfs page.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from saksi.edges.host.mounts import CannotConfine, mount

__all__ = ["Layers"]

_UNFIT: Final = (",", ":", "\\")
"""Characters that part the options of an overlay: folders with them are not taken."""


class Layers:
    """Layers above folders, each in a folder of its own; in memory where the disk of those cannot hold them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.done: list[Path] = []
        self._in_memory = False
        folder.mkdir(mode=0o700)

    def put_over_all(self, folders: Iterable[Path], gladly: Sequence[Path]) -> None:
        """Raises `CannotConfine`, but for those that are only `gladly` layered."""
        for each in folders:
            with contextlib.suppress(CannotConfine) if each in gladly else contextlib.nullcontext():
                self.put_over(each)

    def put_over(self, folder: Path) -> None:
        """Raises `CannotConfine`."""
        if any(mark in str(folder) for mark in _UNFIT) or folder == Path("/"):
            raise CannotConfine(f"{folder}: no layer can be put over it")
        try:
            self._mount(folder)
        except CannotConfine:
            if self._in_memory or self.done:
                raise
            self._in_memory = True  # a container's own disk is made of layers, which take no further ones
            mount("tmpfs", self.folder, "mode=0700")
            self._mount(folder)
        self.done.append(folder)

    def _mount(self, folder: Path) -> None:
        number = len(self.done)
        above, work = self.folder / str(number), self.folder / f"{number}.work"
        for each in (above, work):
            each.mkdir(mode=0o700, exist_ok=True)
        options = f"lowerdir={folder},upperdir={above},workdir={work},userxattr"
        mount("overlay", folder, options)
