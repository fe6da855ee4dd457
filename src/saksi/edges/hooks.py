"""Commands that hear of findings at once.

A command gets one JSON document on its standard input. It runs under the account of the agent and in surroundings of
our own, never those of the job: no variable of it, no file of it, no output anywhere. It has so many seconds, and then
its whole process group is ended. Exit 0 means that the document was taken.

Known weakness: what a command that ends by itself leaves behind outlives it.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shlex
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final, Protocol

from saksi.edges.store.durable import told
from saksi.words.errors import StoreError, UsageError

__all__ = ["CommandHook", "Hook", "parse_command"]

_PATH: Final = "/usr/local/bin:/usr/bin:/bin"


class Hook(Protocol):
    """Where a document about a finding goes."""

    @property
    def target(self) -> str:
        """How logs name it, without what may be a secret."""

    def send(self, document: bytes) -> None:
        """Hand the document over. Raises `SaksiError` if it was not taken, after a bounded time."""

    def stop(self) -> None:
        """Break off what `send` does now in another thread, and whatever it is asked to do from here on."""


class CommandHook:
    """Documents are handed to a command. One `send` at a time."""

    def __init__(self, argv: tuple[str, ...], *, seconds: float) -> None:
        self._argv = argv
        self._seconds = seconds
        # `stop` comes from another thread and must not wait for a program that does not start: no lock. Each side sets
        # its own before it looks at the other's, so at least one of them sees the other.
        self._child: subprocess.Popen[bytes] | None = None
        self._stopped = threading.Event()

    @property
    def target(self) -> str:
        """The program alone: its arguments may hold a secret."""
        return self._argv[0]

    def send(self, document: bytes) -> None:
        """See `Hook.send`."""
        what = f"hook {self.target}"
        if self._stopped.is_set():
            raise StoreError(f"{what}: not started, the run has ended")
        with told("start", Path(self.target)):
            child = self._child = subprocess.Popen(
                self._argv,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
                cwd="/",
                env=_surroundings(),
            )
        try:
            if self._stopped.is_set():
                raise StoreError(f"{what}: the run has ended")
            child.communicate(document, timeout=self._seconds)
        except subprocess.TimeoutExpired:
            raise StoreError(f"{what}: no end after {self._seconds:g} seconds") from None
        except OSError as error:
            raise StoreError(f"{what}: {error.strerror}") from None
        finally:
            self._end(child)
        if child.returncode != 0:
            raise StoreError(f"{what}: ended with {child.returncode}")

    def stop(self) -> None:
        """See `Hook.stop`."""
        self._stopped.set()
        child = self._child
        if child is not None:
            _kill(child)

    def _end(self, child: subprocess.Popen[bytes]) -> None:
        _kill(child)
        child.wait()
        if child.stdin is not None:
            with contextlib.suppress(OSError):  # what it never read is lost with it
                child.stdin.close()
        self._child = None


def parse_command(text: str, *, seconds: float, which: Callable[[str], str | None] = shutil.which) -> CommandHook:
    """The command that `--notify text` names. Raises `UsageError` with what to write instead."""
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise UsageError(f"--notify {text}: {error}", remedy="check the quotes of the command") from None
    found = which(words[0]) if words and "\0" not in text else None
    if found is None:
        raise UsageError(
            f"--notify {text}: neither a command nor a URL", remedy="give a command found on PATH, or http(s)://..."
        )
    return CommandHook((str(Path(found).absolute()), *words[1:]), seconds=seconds)


def _surroundings() -> dict[str, str]:
    try:
        home = pwd.getpwuid(os.geteuid()).pw_dir
    except KeyError:  # an account without an entry, as in containers
        home = "/"
    return {"PATH": _PATH, "HOME": home, "LANG": "C.UTF-8"}


def _kill(child: subprocess.Popen[bytes]) -> None:
    """End the command's whole group, if it still runs."""
    if child.poll() is None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, signal.SIGKILL)
