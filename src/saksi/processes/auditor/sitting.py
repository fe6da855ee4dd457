"""Launches under witness, confined, one after the other in the same place: a command, and then what resumes it.

Rules: nothing of the user's is written over; every launch has a home of its own; no keys, no network, and a limit of
time for each; what a launch wrote, the next one finds, and it is gone with the sitting. When the context is left, no
process of it runs.

Known weakness: as of a replay (`replaying`).
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Final

import msgspec

from saksi.edges.host.confinement import outermost
from saksi.edges.host.procfs import children_of
from saksi.edges.host.self_protection import orphans_adopted
from saksi.edges.own_file import read_own_file
from saksi.edges.runs import RunMaterials
from saksi.processes.auditor.launches import (
    GRACE_S,
    LOOK_S,
    NotReplayed,
    end_all,
    environment_of,
    home_in,
    last_words_in,
    reading_in,
)
from saksi.processes.auditor.stage import Begun, Command, Ended, Stage
from saksi.processes.auditor.walls import CANNOT_CONFINE, Walls
from saksi.words.errors import UsageError

__all__ = ["MAX_NOTES_BYTES", "Launched", "Place", "Sitting", "sit"]

MAX_NOTES_BYTES: Final = 8 * 1024 * 1024
"""Of one process: some four thousand notes, a few of which list what a model checkpoint holds."""
_NOTES: Final = "notes"
_RESTARTED: Final = "notes.restarted"
"""There once a further process had begun in the place of a rank that had ended itself (`spec/doctor-notes.md`)."""


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where commands run: the folder they start in, others that they may write into, and what is hidden from them.

    `cache` is a folder for what launches share: bytecode, and kernels that were compiled.
    """

    folder: Path
    environment: Mapping[str, str]
    written: tuple[Path, ...]
    hidden: tuple[Path, ...]
    cache: Path


class Launched(msgspec.Struct, frozen=True, kw_only=True):
    """What a launch left: its record, the notes of its processes, how it ended, and what it said last.

    `code` is null where it was ended from here. `restarted`: a further process had begun in the place of a rank that
    had ended itself.
    """

    reading: RunMaterials | None
    notes: tuple[bytes, ...]
    code: int | None
    last_words: str
    restarted: bool = False

    @property
    def ending(self) -> str:
        """How it ended, in words."""
        if self.code is None and self.restarted:
            return "it was ended as a further process began in the place of a rank that had ended"
        if self.code is None:
            return f"it was ended after its limit of time{': ' + self.last_words if self.last_words else ''}"
        how = f"it ended with exit code {self.code}"
        return f"{how}: {self.last_words}" if self.last_words and self.code != 0 else how


class Sitting:
    """Commands in one place. For the thread that made it."""

    def __init__(self, place: Place, scratch: Path, job: subprocess.Popen[bytes], hearing: IO[bytes]) -> None:
        self._place = place
        self._scratch = scratch
        self._job = job
        self._hearing = hearing
        self._buffer = b""
        self._count = 0

    def launch(
        self,
        argv: tuple[str, ...],
        ends: str,
        limit_s: float,
        *,
        variables: Mapping[str, str] | None = None,
    ) -> Launched:
        """Run one command under witness until it ends; `ends` is when its recorder ends it (`spec/doctor-notes.md`).

        Raises `NotReplayed`, `OSError`.
        """
        folder = self._scratch / str(self._count)
        self._count += 1
        for each in (folder, folder / "home", folder / "runs"):
            each.mkdir(mode=0o700)
        self._say(Command(argv=self._words(argv), environment=self._environment(folder, ends, variables or {}),
                          errors=str(folder / "stderr")))  # fmt: skip
        restarted = folder / _RESTARTED
        code = self._wait(time.monotonic() + limit_s, restarted.exists)
        return Launched(
            reading=reading_in(folder),
            notes=_notes_in(folder),
            code=code,
            last_words=last_words_in(folder / "stderr"),
            restarted=restarted.exists(),
        )

    def _words(self, argv: tuple[str, ...]) -> tuple[str, ...]:
        options = ("-q", "--level", "full", "--bytecode", str(self._place.cache / "bytecode"))
        return (sys.executable, "-I", "-m", "saksi.doors.main", "run", *options, "--", *argv)

    def _environment(self, folder: Path, ends: str, variables: Mapping[str, str]) -> dict[str, str]:
        given = {name: value for name, value in self._place.environment.items() if not name.startswith("SAKSI")}
        return {
            **environment_of(given, folder, tmp=self._scratch / "tmp"),
            "SAKSI_DOCTOR": f"{ends}:{folder / _NOTES}",
            "TORCHINDUCTOR_CACHE_DIR": str(self._place.cache / "inductor"),
            **variables,
        }

    def _say(self, command: Command) -> None:
        if self._job.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._job.stdin.write(msgspec.json.encode(command) + b"\n")
                self._job.stdin.flush()

    def _wait(self, until: float, is_over: Callable[[], bool]) -> int | None:
        begun = self._hear(until)
        if begun is None or isinstance(begun, Ended):
            if self._job.poll() == CANNOT_CONFINE or begun is None:
                raise NotReplayed(last_words_in(self._scratch / "stderr") or "the launch could not be confined")
            raise NotReplayed("the command could not be started")
        ended = self._hear(until, is_over)
        if isinstance(ended, Ended):
            return ended.code
        with contextlib.suppress(ProcessLookupError):
            os.kill(begun.pid, signal.SIGTERM)
        if self._hear(time.monotonic() + GRACE_S) is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(begun.pid, signal.SIGKILL)
            self._hear(time.monotonic() + GRACE_S)
        return None

    def _hear(self, until: float, is_over: Callable[[], bool] = lambda: False) -> Begun | Ended | None:
        """What is told next; `None` if nothing is by then, or it is over."""
        while b"\n" not in self._buffer:
            if time.monotonic() >= until or is_over():
                return None
            if select.select([self._hearing], [], [], LOOK_S)[0]:
                more = os.read(self._hearing.fileno(), 4096)
                if not more:
                    self._job.wait()
                    return None
                self._buffer += more
        line, _, self._buffer = self._buffer.partition(b"\n")
        return msgspec.json.decode(line, type=Begun | Ended)


@contextlib.contextmanager
def sit(place: Place, scratch: Path) -> Iterator[Sitting]:
    """A sitting in `scratch`, which is empty and the caller's to remove. Raises `OSError`."""
    before = frozenset(children_of(os.getpid()))
    (scratch / "tmp").mkdir(mode=0o700)
    (place.cache / "inductor").mkdir(mode=0o700, exist_ok=True)
    heard, told = os.pipe()
    with (
        orphans_adopted(),
        os.fdopen(heard, "rb", buffering=0) as hearing,
        (scratch / "stderr").open("wb") as errors,
    ):
        with os.fdopen(told, "wb"):
            job = subprocess.Popen(
                [sys.executable, "-I", "-m", "saksi.processes.auditor.stage"],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                pass_fds=(told,),
                start_new_session=True,
            )
        try:
            if job.stdin is not None:
                with contextlib.suppress(BrokenPipeError):
                    job.stdin.write(msgspec.json.encode(_stage(place, scratch, told)) + b"\n")
                    job.stdin.flush()
            yield Sitting(place, scratch, job, hearing)
        finally:
            if job.stdin is not None:
                with contextlib.suppress(BrokenPipeError):
                    job.stdin.close()
            end_all(job, before)


def _stage(place: Place, scratch: Path, told: int) -> Stage:
    layered = place.folder.resolve()
    gladly = [each for each in outermost((*home_in(place.environment), *place.written)) if each != Path("/")]
    walls = Walls(
        folder=str(place.folder),
        scratch=str(scratch),
        writable=(str(place.cache),),
        layered=(str(layered),),
        gladly=tuple(str(each) for each in gladly if not each.is_relative_to(layered)),
        hidden=tuple(str(each) for each in place.hidden if each.is_dir()),
    )
    return Stage(walls=walls, descriptor=told)


def _notes_in(folder: Path) -> tuple[bytes, ...]:
    """What the launch's processes noted. A program may have put anything there."""
    found: list[bytes] = []
    for each in sorted(folder.glob(f"{_NOTES}.[0-9]*")):
        with contextlib.suppress(UsageError, OSError):
            found.append(read_own_file(each, MAX_NOTES_BYTES) or b"")
    return tuple(found)
