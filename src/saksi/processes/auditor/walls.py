"""Where a launch of the auditor may write: what `confine` takes, as one process says it to another."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import msgspec

from saksi.edges.host.confinement import confine

__all__ = ["CANNOT_CONFINE", "Walls"]

CANNOT_CONFINE: Final = 124
"""How a process ends that may not confine itself on this system; nothing has run in it then."""


class Walls(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`folder` is where it begins; the others are as in `confine`."""

    folder: str
    scratch: str
    writable: tuple[str, ...]
    layered: tuple[str, ...]
    gladly: tuple[str, ...]
    hidden: tuple[str, ...]
    placed: tuple[tuple[str, str], ...] = ()

    def enter(self) -> None:
        """Confine this process, and go to `folder`. Raises `SaksiError`, `OSError`."""
        confine(
            [Path(each) for each in self.layered],
            Path(self.scratch),
            writable=[Path(each) for each in self.writable],
            gladly=[Path(each) for each in self.gladly],
            hidden=[Path(each) for each in self.hidden],
            placed=[(Path(source), Path(target)) for source, target in self.placed],
        )
        os.chdir(self.folder)  # anew: the layer lies above the folder that was current until now
