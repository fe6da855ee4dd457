"""How long Updates take, against what the process took before: single ones that stall, and stretches that are slow.

Rules: the usual duration is the median over all Updates so far, kept as a histogram whose bins are a ninth apart; the
first ones are left out (kernels are compiled, files are read); stalls at even distances are how evaluations and model
checkpoints look, and are nothing to speak of.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

from saksi.words.frames import Phases

__all__ = ["BLOCK", "IN_WORDS", "PHASES", "Distances", "Durations", "Slow", "spent_in"]

PHASES: Final = ("data", "compute", "optimizer")
IN_WORDS: Final = {
    "data": "waiting for data",
    "compute": "what lies between data and optimizer",
    "optimizer": "the optimizer's step",
}
SETTLING: Final = 20
"""Updates that are left out at first."""
BLOCK: Final = 64
"""Updates whose median is compared with the usual one."""
KNOWN: Final = 128
"""Updates before which nothing is usual."""
STALLED: Final = 20
"""Times the usual duration, and at least so many seconds."""
STALLED_NS: Final = 5_000_000_000
SLOW: Final = 4
"""Times the usual duration, by a block's median; a machine that others load takes twice or three times as long."""
SLOW_NS: Final = 20_000_000
EVEN: Final = 5
"""Updates that lie between stalls at even distances, at least."""
TOLD: Final = 3
"""Stalls that have two distances: one is always even."""
_PER_OCTAVE: Final = 8


def spent_in(phase_ns: Phases) -> tuple[str, int]:
    """The phase of an Update that took longest, and how many nanoseconds all of them took."""
    spent = {each: int(getattr(phase_ns, each)) for each in PHASES}
    return max(spent, key=lambda each: spent[each]), sum(spent.values())


class Slow(NamedTuple):
    """A block of Updates that took long, by its median; `phase` is the one that grew most."""

    phase: str
    took_ns: int
    usual_ns: int


class Distances:
    """Where something happened, and whether at even distances, as an evaluation or a model checkpoint does."""

    __slots__ = ("_gap", "_last", "_places")

    def __init__(self) -> None:
        self._gap = 0  # the greatest distance of which all distances are multiples
        self._last = -1
        self._places = 0

    def take(self, update: int) -> None:
        """Takes a place in; several ranks may have the same."""
        if update != self._last:
            self._gap = math.gcd(self._gap, update - self._last) if self._places else 0
            self._last = update
            self._places += 1

    @property
    def are_told(self) -> bool:
        """Whether there are enough of them to tell, at distances that are not even."""
        return self._places >= TOLD and self._gap < EVEN

    @property
    def are_even(self) -> bool:
        """Whether there are enough of them to tell, at even distances."""
        return self.are_apart(EVEN)

    def are_apart(self, gap: int) -> bool:
        """Whether there are enough of them to tell, all at multiples of one distance that is at least `gap`."""
        return self._places >= TOLD and self._gap >= gap


class Durations:
    """Of one optimizer's Updates in one process."""

    __slots__ = ("_block", "_counts", "_means", "_sums", "_taken", "_total", "usual_ns")

    def __init__(self) -> None:
        self.usual_ns = 0  # until enough are known
        self._taken = 0
        self._total = 0
        self._counts: dict[int, int] = {}
        self._block: list[int] = []
        self._sums = [0, 0, 0]
        self._means = [0.0, 0.0, 0.0]

    def take(self, phases: tuple[int, int, int]) -> tuple[bool, Slow | None]:
        """Takes an Update in: whether it stalled, and whether the block that it ends is slow."""
        self._taken += 1
        if self._taken <= SETTLING:
            return False, None
        took = sum(phases)
        stalled = bool(self.usual_ns) and took > max(STALLED_NS, STALLED * self.usual_ns)
        self._block.append(took)
        for at in range(3):
            self._sums[at] += phases[at]
        return stalled, self._end_block() if len(self._block) == BLOCK else None

    def _end_block(self) -> Slow | None:
        self._block.sort()
        median, usual = self._block[BLOCK // 2], self.usual_ns
        means = [each / BLOCK for each in self._sums]
        found = None
        if usual and median > SLOW * usual and median - usual > SLOW_NS:
            grown = [now - before for now, before in zip(means, self._means, strict=True)]
            found = Slow(PHASES[grown.index(max(grown))], median, usual)
        for took in self._block:
            place = int(math.log2(took + 1) * _PER_OCTAVE)
            self._counts[place] = self._counts.get(place, 0) + 1
        self._total += BLOCK
        share = BLOCK / self._total
        self._means = [before + (now - before) * share for now, before in zip(means, self._means, strict=True)]
        self._block, self._sums = [], [0, 0, 0]
        if self._total >= KNOWN:
            self.usual_ns = self._median()
        return found

    def _median(self) -> int:
        left = self._total // 2
        for place in sorted(self._counts):
            left -= self._counts[place]
            if left < 0:
                return int(2 ** ((place + 0.5) / _PER_OCTAVE))
        return 0
