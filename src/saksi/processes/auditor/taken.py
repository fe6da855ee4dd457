"""Whether a replay that goes on takes more memory than it may: it is ended then."""

from __future__ import annotations

import os

from saksi.edges.host.memory import memory_of
from saksi.edges.host.procfs import descendants_of

__all__ = ["Taken"]


class Taken:
    """What all descendants take together that were not there `before`; without a `limit` nothing is too much."""

    def __init__(self, limit: int | None, before: frozenset[int]) -> None:
        self.limit = limit
        self.was_too_much = False
        self._before = before

    def is_too_much(self) -> bool:
        """Looks again."""
        if self.limit is not None:
            taken = memory_of(descendants_of(os.getpid(), without=self._before), beyond=self.limit)
            self.was_too_much = taken > self.limit
        return self.was_too_much
