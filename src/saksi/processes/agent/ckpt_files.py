"""Hashing the files of model checkpoints and capsules from outside the job, beside everything else.

The job says "I saved this path" and what state the file was in; a thread reads it once, now. The digest is the
agent's own observation, costs training nothing, and binds only if the file still is in the state that was named. A
file that is replaced sooner than it can be read ends as `reason`, never as silence; so does one that is not read by the
time the attempt closes.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from saksi.edges.files import FileState, HashedFile, OnBehalf, hash_file
from saksi.edges.pickle_imports import pickle_imports
from saksi.words.frames import CapsuleFrame, CkptFrame

__all__ = ["CkptFiles", "HashedCkpt"]

_logger = logging.getLogger(__name__)

MAX_WAITING: Final = 1_024


class HashedCkpt(msgspec.Struct, frozen=True, kw_only=True):
    """One model checkpoint, or a capsule, and what was found at its path."""

    connection: int
    rank: int
    frame: CkptFrame | CapsuleFrame
    found: HashedFile
    imports: tuple[str, ...] | None = None
    """What a pickle that was loaded imports; `None` where the file was not looked into."""


class _Given(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be hashed; `number` tells it from the others."""

    number: int
    connection: int
    rank: int
    frame: CkptFrame | CapsuleFrame


class CkptFiles:
    """A worker thread. `wake` is called, from any thread, whenever there is something to `collect`.

    With `on_behalf_of`, only files are read that the job's account could read by itself.
    """

    def __init__(self, wake: Callable[[], None], *, on_behalf_of: OnBehalf | None = None) -> None:
        self._wake = wake
        self._on_behalf_of = on_behalf_of
        self._closed = False
        self._waiting: queue.Queue[_Given | None] = queue.Queue(MAX_WAITING)
        self._done: queue.SimpleQueue[tuple[_Given, HashedFile, tuple[str, ...] | None]] = queue.SimpleQueue()
        self._open: dict[int, _Given] = {}
        self._given = 0
        self._thread = threading.Thread(target=self._work, name="saksi-ckpt-files", daemon=True)
        self._thread.start()

    @property
    def pending(self) -> int:
        """How many were given and not yet collected."""
        return len(self._open)

    def give(self, connection: int, rank: int, frame: CkptFrame | CapsuleFrame) -> None:
        """Hash the file that `frame` names, when its turn comes."""
        if frame.path is None and isinstance(frame, CkptFrame):
            return
        given = _Given(number=self._given, connection=connection, rank=rank, frame=frame)
        self._given += 1
        self._open[given.number] = given
        try:
            self._waiting.put_nowait(given)
        except queue.Full:
            reason = f"more than {MAX_WAITING} files were waiting to be read"
            self._done.put((given, HashedFile(digest=None, size=None, reason=reason), None))
            self._wake()

    def collect(self) -> list[HashedCkpt]:
        """What has been hashed since the last call."""
        hashed: list[HashedCkpt] = []
        while True:
            try:
                given, found, imports = self._done.get_nowait()
            except queue.Empty:
                return hashed
            if self._open.pop(given.number, None) is not None:
                hashed.append(_hashed(given, found, imports))

    def abandon(self, reason: str) -> list[HashedCkpt]:
        """Those that are not read yet, without a digest and with this reason. They are never collected."""
        left = [_hashed(each, HashedFile(digest=None, size=None, reason=reason)) for each in self._open.values()]
        self._open.clear()
        return left

    def close(self) -> None:
        """Let the worker end behind the file that it reads now."""
        self._closed = True
        with contextlib.suppress(queue.Full):
            self._waiting.put_nowait(None)

    def _work(self) -> None:
        while (given := self._waiting.get()) is not None and not self._closed:
            seen: list[tuple[str, ...] | None] = []
            try:
                found = self._read(given.frame, seen)
            except Exception as error:  # one file must not end the work on all others
                _logger.exception("a file could not be hashed")
                found = HashedFile(digest=None, size=None, reason=f"the agent failed: {type(error).__name__}")
            self._done.put((given, found, seen[0] if seen and found.digest is not None else None))
            self._wake()

    def _read(self, frame: CkptFrame | CapsuleFrame, seen: list[tuple[str, ...] | None]) -> HashedFile:
        """The file's digest; what a pickle that was loaded imports is put into `seen`."""
        if frame.path is None:
            return HashedFile(digest=None, size=None, reason=frame.reason if isinstance(frame, CapsuleFrame) else None)
        is_loaded = isinstance(frame, CkptFrame) and frame.action != "saved"
        return hash_file(
            Path(frame.path),
            _expected(frame),
            on_behalf_of=self._on_behalf_of,
            look=(lambda file: seen.append(pickle_imports(file))) if is_loaded else None,
        )


def _hashed(given: _Given, found: HashedFile, imports: tuple[str, ...] | None = None) -> HashedCkpt:
    return HashedCkpt(connection=given.connection, rank=given.rank, frame=given.frame, found=found, imports=imports)


def _expected(frame: CkptFrame | CapsuleFrame) -> FileState | None:
    if frame.device is None or frame.inode is None or frame.size is None or frame.mtime_ns is None:
        return None
    return FileState(device=frame.device, inode=frame.inode, size=frame.size, mtime_ns=frame.mtime_ns)
