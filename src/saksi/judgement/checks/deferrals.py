"""Values that an Update announced and a device never delivered. Memory is bounded: a few names for what is open."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Final

from saksi.judgement.checks.fold import observation
from saksi.words.findings import Finding
from saksi.words.frames import DeferredFrame, UpdateFrame

__all__ = ["Deferrals", "lacking"]

MAX_OPEN: Final = 64
"""Updates that are waited for: a recorder gives the oldest up when 16 wait."""

_finding = partial(observation, check="coverage")


class Deferrals:
    """What one connection announced, and what of it did not come."""

    __slots__ = ("_open", "count", "first", "last", "names")

    def __init__(self) -> None:
        self._open: dict[tuple[int, int], tuple[str, ...]] = {}
        self.count = 0
        self.names: set[str] = set()
        self.first: int | None = None
        self.last: int | None = None

    def announce(self, frame: UpdateFrame) -> None:
        """Takes an Update in that has values to come."""
        if len(self._open) >= MAX_OPEN:
            oldest = next(iter(self._open))
            self._lack(oldest[1], self._open.pop(oldest))
        self._open[frame.optimizer, frame.update] = tuple(frame.deferred)

    def arrive(self, frame: DeferredFrame) -> None:
        """Takes in what came; of an Update that had announced nothing it does not count."""
        announced = self._open.pop((frame.optimizer, frame.update), None)
        if announced is not None:
            self._lack(frame.update, [name for name in announced if name in frame.lacking])

    def close(self) -> None:
        """The connection has ended: what is open will not come."""
        for (_, update), names in self._open.items():
            self._lack(update, names)
        self._open = {}

    def _lack(self, update: int, names: Iterable[str]) -> None:
        names = set(names)
        if names:
            self.count += 1
            self.names |= names
            self.first = update if self.first is None else min(self.first, update)
            self.last = update if self.last is None else max(self.last, update)


def lacking(deferrals: Deferrals, *, rank: int, entry: int) -> Finding:
    """The finding for what did not come."""
    names = ", ".join(sorted(deferrals.names)).replace("_", " ")
    return _finding(
        code="coverage.uncovered",
        severity="info",
        subject="values on a device",
        message=f"Values that lay on a device did not reach the record ({names}); "
        "a device that lags far behind, one that failed and a process that ended first explain them.",
        steps=(deferrals.first, deferrals.last),
        ranks=(rank,),
        evidence=(entry,),
    )
