"""Which phase of Updates took long, and how much time went by in it: data, compute or optimizer, each by itself.

Rules: the usual duration of a phase is the median of the last ones that were not slow; Updates behind a model
checkpoint, the begin of an epoch or an evaluation are left out; what is slow at even and wide distances is how
evaluations that use no DataLoader look, and is nothing to speak of; nor is what costs little.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from typing import Final, NamedTuple

from saksi.judgement.dynamics.durations import PHASES, Distances

__all__ = ["SlowPhase", "SlowPhases"]

SETTLING: Final = 5
"""Updates that are left out at first."""
KNOWN: Final = 8
"""Durations before which nothing is usual."""
WINDOW: Final = 64
"""Durations that make what is usual; after as many slow ones in a row, those are usual."""
TIMES: Final = 3
SLOW_NS: Final = 100_000_000
"""A machine that others load makes a short phase three times as long, but by less than this."""
FEW: Final = 4
"""Updates that are slow, at least."""
LOST_NS: Final = 1_000_000_000
WIDE: Final = 10
"""Updates that lie between slow ones at even distances, where they may be evaluations."""


class SlowPhase(NamedTuple):
    """A phase that was slow in so many `updates` from `first` to `last`, and took `lost_ns` longer than usual."""

    phase: str
    updates: int
    first: int
    last: int
    usual_ns: int
    lost_ns: int


class _Phase:
    __slots__ = ("count", "distances", "first", "last", "lost_ns", "order", "row", "sorted", "usual_ns")

    def __init__(self) -> None:
        self.order: deque[int] = deque()
        self.sorted: list[int] = []
        self.row = 0
        self.count = self.lost_ns = 0
        self.first = self.last = self.usual_ns = 0
        self.distances = Distances()

    def take(self, update: int, took: int) -> None:
        usual = self.sorted[len(self.sorted) // 2] if len(self.sorted) >= KNOWN else None
        if usual is not None and took >= TIMES * usual and took - usual >= SLOW_NS:
            self._slow(update, took - usual, usual)
            self.row += 1
            if self.row <= WINDOW:
                return
        else:
            self.row = 0
        if len(self.order) == WINDOW:
            del self.sorted[bisect_left(self.sorted, self.order.popleft())]
        self.order.append(took)
        insort(self.sorted, took)

    def _slow(self, update: int, lost: int, usual: int) -> None:
        if not self.count:
            self.first, self.usual_ns = update, usual
        self.last = update
        self.count += 1
        self.lost_ns += lost
        self.distances.take(update)


class SlowPhases:
    """Of one optimizer's Updates in one process."""

    __slots__ = ("_phases", "_taken")

    def __init__(self) -> None:
        self._taken = 0
        self._phases = [_Phase() for _ in PHASES]

    def take(self, update: int, phases: tuple[int, int, int], *, is_odd: bool) -> None:
        """Takes an Update in. `is_odd`: something is known to have happened before it that takes time."""
        self._taken += 1
        if self._taken <= SETTLING or is_odd:
            return
        for phase, took in zip(self._phases, phases, strict=True):
            phase.take(update, took)

    def found(self) -> list[SlowPhase]:
        """The phases that were slow."""
        return [
            SlowPhase(name, one.count, one.first, one.last, one.usual_ns, one.lost_ns)
            for name, one in zip(PHASES, self._phases, strict=True)
            if one.count >= FEW and one.lost_ns >= LOST_NS and not one.distances.are_apart(WIDE)
        ]
