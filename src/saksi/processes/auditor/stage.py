"""The process in which several commands run one after the other, where each finds what those before it left.

`python -I -m saksi.processes.auditor.stage` with one JSON value a line on standard input: first where it may write, to
which it confines itself, then a command each. What becomes of each is one JSON value a line on the descriptor that the
first names. It ends with its input; with `CANNOT_CONFINE`, the reason on standard error, where this system does not
allow it, and nothing has run then.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import BinaryIO

import msgspec

from saksi.processes.auditor.walls import CANNOT_CONFINE, Walls
from saksi.words.errors import SaksiError

__all__ = ["Begun", "Command", "Ended", "Stage", "main"]


class Stage(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where commands may write; `descriptor` is where it is told what becomes of them."""

    walls: Walls
    descriptor: int


class Command(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to be started next, and the file that takes what it says on standard error."""

    argv: tuple[str, ...]
    environment: dict[str, str]
    errors: str


class Begun(msgspec.Struct, frozen=True, kw_only=True, tag="begun"):
    """The command runs."""

    pid: int


class Ended(msgspec.Struct, frozen=True, kw_only=True, tag="ended"):
    """The command has ended; `code` is negative for a signal, null where it could not be started."""

    code: int | None


def main() -> int:
    """Until there is no further command."""
    stage = msgspec.json.decode(sys.stdin.buffer.readline(), type=Stage)
    try:
        stage.walls.enter()
    except (SaksiError, OSError) as reason:
        sys.stderr.write(f"{reason}\n")
        return CANNOT_CONFINE
    with os.fdopen(stage.descriptor, "wb") as told:
        for line in sys.stdin.buffer:
            _run(msgspec.json.decode(line, type=Command), told)
    return 0


def _run(command: Command, told: BinaryIO) -> None:
    def tell(what: Begun | Ended) -> None:
        told.write(msgspec.json.encode(what) + b"\n")
        told.flush()

    try:
        with Path(command.errors).open("ab") as errors:
            job = subprocess.Popen(
                command.argv,
                env=command.environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                start_new_session=True,
            )
    except OSError:
        tell(Ended(code=None))
        return
    tell(Begun(pid=job.pid))
    tell(Ended(code=job.wait()))


if __name__ == "__main__":
    raise SystemExit(main())
