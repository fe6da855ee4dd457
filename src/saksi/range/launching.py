"""One launch under witness, as a user makes it: the installed command, a home and a cache of the range's own.

Rules: nothing of the caller's environment is handed on but what finds programs and libraries; every process that is
started here is ended within the time limit, by its group, and at once where the range itself is ended.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

from saksi.words.errors import SaksiError

__all__ = ["CaseFailed", "Desk", "Done", "Running"]

_HANDED_ON: Final = ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "TMPDIR", "TZ")
# Isolated: PYTHONPATH is the training's, and what lies there is not to run in saksi's own interpreter.
_SAKSI: Final = (sys.executable, "-I", "-m", "saksi.doors.main")
_GRACE_S: Final = 25.0  # an audit gives its replays 20, and takes its folder away behind them
_LINES: Final = 3


class CaseFailed(SaksiError):
    """A case could not be played as it is written. It says nothing about any detector."""


class Done(msgspec.Struct, frozen=True, kw_only=True):
    """How a command ended."""

    code: int
    stdout: str
    stderr: str

    @property
    def last_words(self) -> str:
        """The end of what it said on standard error, as one line."""
        return " / ".join(self.stderr.strip().splitlines()[-_LINES:])[-400:]


class Running:
    """The commands that run now, in any thread. Once they were ended, none begins."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._processes: set[subprocess.Popen[str]] = set()
        self._ended = False

    def start(self, words: Sequence[str], folder: Path, environment: Mapping[str, str]) -> subprocess.Popen[str]:
        """A process in a group of its own. Raises `CaseFailed` if the range was ended."""
        with self._lock:
            if self._ended:
                raise CaseFailed("the range was ended")
            process = subprocess.Popen(
                words,
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                errors="backslashreplace",
                start_new_session=True,
            )
            self._processes.add(process)
            return process

    def is_over(self, process: subprocess.Popen[str]) -> None:
        """It was waited for."""
        with self._lock:
            self._processes.discard(process)

    def end_all(self) -> None:
        """End all of them. Whoever waits for one sees that it did."""
        with self._lock:
            self._ended = True
            processes = tuple(self._processes)
        for process in processes:
            process.terminate()
        for process in processes:
            try:
                process.wait(_GRACE_S)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)


class Desk(msgspec.Struct, frozen=True, kw_only=True):
    """Where one case is played: `folder` has its project and its home. `python` trains; `cache` is shared by all.

    `running` has the commands of all desks.
    """

    folder: Path
    python: Path
    cache: Path
    limit_s: float
    running: Running

    @property
    def project(self) -> Path:
        """What the launch runs in."""
        return self.folder / "project"

    @property
    def home(self) -> Path:
        """`SAKSI_HOME` of the case."""
        return self.folder / "home"

    def environment(self) -> dict[str, str]:
        """What the command is started with."""
        given = {name: os.environ[name] for name in _HANDED_ON if name in os.environ}
        return {
            **given,
            "HOME": str(self.folder),
            "SAKSI_HOME": str(self.home),
            "XDG_CACHE_HOME": str(self.cache),
            "PYTHONPATH": str(self.project / "packages"),
        }

    def saksi(self, *words: str, environment: Mapping[str, str] | None = None) -> Done:
        """Run a command of saksi. Raises `CaseFailed` if it takes too long."""
        return self._run((*_SAKSI, *words), self.environment() | dict(environment or {}))

    def _run(self, words: Sequence[str], environment: Mapping[str, str]) -> Done:
        with self.running.start(words, self.project, environment) as process:
            try:
                stdout, stderr = process.communicate(timeout=self.limit_s)
            except subprocess.TimeoutExpired:
                _end(process)
                raise CaseFailed(f"not done within {self.limit_s:g} seconds") from None
            except BaseException:
                _end(process)  # an interrupt is for the whole range; this group of processes does not hear it
                raise
            finally:
                self.running.is_over(process)
        return Done(code=process.returncode, stdout=stdout, stderr=stderr)


def _end(process: subprocess.Popen[str]) -> None:
    """First asked, which the launcher passes on to its job, then told; with all of its group."""
    process.terminate()
    try:
        process.communicate(timeout=_GRACE_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
