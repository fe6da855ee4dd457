"""Hashing the files of model checkpoints from outside the job, beside everything else.

The job says "I saved this path" and what state the file was in; a thread reads it once, now. The digest is the
agent's own observation, costs training nothing, and binds only if the file still is in the state that was named. A
file that is replaced sooner than it can be read ends as `reason`, never as silence.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from saksi.edges.files import FileState, HashedFile, hash_file
from saksi.words.frames import CkptFrame

__all__ = ["CkptFiles", "HashedCkpt"]

MAX_WAITING: Final = 1_024


class HashedCkpt(msgspec.Struct, frozen=True, kw_only=True):
    """One model checkpoint and what was found at its path."""

    connection: int
    rank: int
    frame: CkptFrame
    found: HashedFile


class CkptFiles:
    """A worker thread. `wake` is called from it whenever there is something to `collect`."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._waiting: queue.Queue[tuple[int, int, CkptFrame] | None] = queue.Queue(MAX_WAITING)
        self._done: queue.SimpleQueue[HashedCkpt] = queue.SimpleQueue()
        self._open = 0
        self._thread = threading.Thread(target=self._work, name="saksi-ckpt-files", daemon=True)
        self._thread.start()

    @property
    def pending(self) -> int:
        """How many were given and not yet collected."""
        return self._open

    def give(self, connection: int, rank: int, frame: CkptFrame) -> None:
        """Hash the file that `frame` names, when its turn comes."""
        if frame.path is None:
            return
        self._open += 1
        try:
            self._waiting.put_nowait((connection, rank, frame))
        except queue.Full:
            found = HashedFile(digest=None, size=None, reason=f"more than {MAX_WAITING} files were waiting to be read")
            self._done.put(HashedCkpt(connection=connection, rank=rank, frame=frame, found=found))

    def collect(self) -> list[HashedCkpt]:
        """What has been hashed since the last call."""
        hashed: list[HashedCkpt] = []
        while True:
            try:
                hashed.append(self._done.get_nowait())
            except queue.Empty:
                self._open -= len(hashed)
                return hashed

    def _work(self) -> None:
        while (item := self._waiting.get()) is not None:
            connection, rank, frame = item
            assert frame.path is not None  # noqa: S101 - `give` lets no other through
            found = hash_file(Path(frame.path), _expected(frame))
            self._done.put(HashedCkpt(connection=connection, rank=rank, frame=frame, found=found))
            self._wake()


def _expected(frame: CkptFrame) -> FileState | None:
    if frame.device is None or frame.inode is None or frame.size is None or frame.mtime_ns is None:
        return None
    return FileState(device=frame.device, inode=frame.inode, size=frame.size, mtime_ns=frame.mtime_ns)
