"""How a worker thread wakes the agent's one thread: a pipe that is readable once it was rung."""

from __future__ import annotations

import contextlib
import os

__all__ = ["Bell"]


class Bell:
    """Registered with a selector like a file. `ring` may be called from any thread; neither call blocks or raises."""

    def __init__(self) -> None:
        self._read, self._write = os.pipe()
        os.set_blocking(self._read, False)
        os.set_blocking(self._write, False)

    def fileno(self) -> int:
        """The end to listen to."""
        return self._read

    def ring(self) -> None:
        """Wake whoever listens. A full pipe wakes as well."""
        with contextlib.suppress(OSError):
            os.write(self._write, b"!")

    def hush(self) -> bool:
        """Take back what was rung so far; whether there was anything."""
        try:
            return bool(os.read(self._read, 4096))
        except OSError:
            return False
