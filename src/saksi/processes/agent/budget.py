"""How many bytes may wait to be written, of all attempts of one agent together.

One that serves many attempts must not hold, while its disk fails, many times what one may hold. So that one job cannot
take what the others need, each has some bytes of its own that are always there.
"""

from __future__ import annotations

import threading

__all__ = ["ByteBudget", "Share"]


class ByteBudget:
    """At most `limit` bytes beyond the `own` bytes of each share. Thread-safe."""

    def __init__(self, limit: int, *, own: int = 0) -> None:
        self.limit = limit
        self.own = own
        self._used = 0
        self._guard = threading.Lock()

    def share(self) -> Share:
        """The share of one attempt."""
        return Share(self)

    def change(self, by: int, *, anyway: bool = False) -> bool:
        """Take so many bytes, or give them back (less than 0); whether they were there. `anyway` asks nothing."""
        with self._guard:
            if by > 0 and not anyway and self._used + by > self.limit:
                return False
            self._used += by
        return True


class Share:
    """What one attempt holds. Owned by one thread at a time."""

    def __init__(self, budget: ByteBudget) -> None:
        self._budget = budget
        self.held = 0

    def take(self, size: int, *, anyway: bool = False) -> bool:
        """Hold `size` more bytes; whether there was room for them. With `anyway` they are held in any case."""
        taken = self._budget.change(self._common(self.held + size) - self._common(self.held), anyway=anyway)
        self.held += size if taken else 0
        return taken

    def give(self, size: int) -> None:
        """Hold `size` fewer bytes."""
        self._budget.change(self._common(self.held - size) - self._common(self.held))
        self.held -= size

    def _common(self, held: int) -> int:
        return max(0, held - self._budget.own)
