"""The process between the auditor and a replay: it confines itself, and becomes the launcher of the command.

`python -I -m saksi.processes.auditor.confined` with one JSON value on standard input. It ends with `CANNOT_CONFINE`,
the reason on standard error, where this system does not allow it; nothing has run then.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Final

import msgspec

from saksi.edges.host.confinement import CannotConfine, confine

__all__ = ["CANNOT_CONFINE", "Confined", "main"]

CANNOT_CONFINE: Final = 124


class Confined(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to be started, and where it may write."""

    argv: tuple[str, ...]
    environment: dict[str, str]
    folder: str
    scratch: str
    layered: tuple[str, ...]
    gladly: tuple[str, ...]
    hidden: tuple[str, ...]


def main() -> int:
    """Does not return where it succeeds."""
    asked = msgspec.json.decode(sys.stdin.buffer.read(), type=Confined)
    try:
        confine(
            [Path(each) for each in asked.layered],
            Path(asked.scratch),
            gladly=[Path(each) for each in asked.gladly],
            hidden=[Path(each) for each in asked.hidden],
        )
        os.chdir(asked.folder)  # anew: the layer lies above the folder that was current until now
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, sys.stdin.fileno())
        os.execve(asked.argv[0], asked.argv, asked.environment)  # noqa: S606 - no shell is what is wanted
    except (CannotConfine, OSError) as reason:
        sys.stderr.write(f"{reason}\n")
    return CANNOT_CONFINE


if __name__ == "__main__":
    raise SystemExit(main())
