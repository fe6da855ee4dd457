"""How a worker thread wakes the agent's one thread: a pipe that is readable once it was rung."""

from __future__ import annotations

import contextlib
import os
import threading

__all__ = ["Bell"]


class Bell:
    """Registered with a selector like a file. `ring` may be called from any thread; neither call blocks or raises."""

    def __init__(self) -> None:
        self._read, self._write = os.pipe()
        os.set_blocking(self._read, False)
        os.set_blocking(self._write, False)
        self._closed = threading.Lock()  # held for good once it is closed: the numbers may be other files by then

    def fileno(self) -> int:
        """The end to listen to."""
        return self._read

    def ring(self) -> None:
        """Wake whoever listens. A full pipe wakes as well."""
        if self._closed.acquire(blocking=False):
            try:
                with contextlib.suppress(OSError):
                    os.write(self._write, b"!")
            finally:
                self._closed.release()

    def hush(self) -> bool:
        """Take back what was rung so far; whether there was anything."""
        try:
            return bool(os.read(self._read, 4096))
        except OSError:
            return False

    def close(self) -> None:
        """Let go of the pipe. Ringing is harmless from then on."""
        self._closed.acquire()
        os.close(self._read)
        os.close(self._write)
