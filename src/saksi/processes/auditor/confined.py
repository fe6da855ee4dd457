"""The process between the auditor and a replay: it confines itself, and becomes the launcher of the command.

`python -I -m saksi.processes.auditor.confined` with one JSON value on standard input. It ends with `CANNOT_CONFINE`,
the reason on standard error, where this system does not allow it; nothing has run then.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import msgspec

from saksi.edges.configuration import read_configuration
from saksi.edges.environment.observe import Launch, observe
from saksi.processes.auditor.compiled_ahead import Ahead, compile_ahead
from saksi.processes.auditor.walls import CANNOT_CONFINE, Walls
from saksi.words.errors import SaksiError
from saksi.words.run import Level

__all__ = ["Confined", "Observed", "main"]


class Observed(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to be observed of the command before it is started, from where it will be, and who hears of it.

    `descriptor` is closed before the command runs, so that it can say nothing there.
    """

    descriptor: int
    argv: tuple[str, ...]
    environment: dict[str, str]
    project: str | None
    level: Level
    segment: int | None
    redaction_key: bytes


class Confined(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to be started, where it may write, and how many processors it may use; without words nothing is.

    `ahead` is what is compiled before.
    """

    argv: tuple[str, ...]
    environment: dict[str, str]
    walls: Walls
    observed: Observed | None
    cores: int | None = None
    ahead: Ahead | None = None


def main() -> int:
    """Does not return where it succeeds."""
    asked = msgspec.json.decode(sys.stdin.buffer.read(), type=Confined)
    try:
        if asked.cores is not None:
            os.sched_setaffinity(0, _some(sorted(os.sched_getaffinity(0)), asked.cores))
        asked.walls.enter()
        if asked.observed is not None:
            _observe(asked.observed, Path(asked.walls.folder), Path(asked.walls.scratch, "tmp"))
        if not asked.argv:
            return 0
        if asked.ahead is not None:
            compile_ahead(asked.ahead, asked.environment)
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, sys.stdin.fileno())
        os.execve(asked.argv[0], asked.argv, asked.environment)  # noqa: S606 - no shell is what is wanted
    except (SaksiError, OSError) as reason:
        sys.stderr.write(f"{reason}\n")
    return CANNOT_CONFINE


def _some(processors: list[int], count: int) -> list[int]:
    """So many of them, and not the same ones for each of several replays side by side."""
    first = os.getpid() * count % len(processors)
    return [*processors[first:], *processors[:first]][:count]


def _observe(asked: Observed, folder: Path, scratch: Path) -> None:
    """Write the seal that a launch of it here would have. The key is in no file, and gone with this program."""
    found = read_configuration(folder)
    launch = Launch(
        run="0" * 16,
        attempt=0,
        name=None,
        project=asked.project,
        level=asked.level,
        segment=asked.segment,
        plan=found.settings.plan,
        expect=found.settings.expect,
        data=found.settings.data,
        argv=asked.argv,
        environment=asked.environment,
        added={},
        folder=folder,
        configuration=() if found.path is None else (str(found.path),),
        redaction_key=asked.redaction_key,
        cache=None,
        scratch=scratch,
    )
    with os.fdopen(asked.descriptor, "wb") as heard:
        heard.write(msgspec.json.encode(observe(launch, now_ns=time.time_ns()).seal))


if __name__ == "__main__":
    raise SystemExit(main())
