"""Phases that were slow, of all ranks of an attempt, as findings: which phase, on whom, since when, and what it cost.

A rank that is slow makes the others wait: they are slow too, in computing, where gradients are averaged. So where ranks
were slow in different phases, both are told, and which of them was alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Final, NamedTuple

from saksi.judgement.checks.fold import MAX_EVIDENCE, observation
from saksi.judgement.dynamics.phases import SlowPhase
from saksi.words.findings import Finding

__all__ = ["CODE", "PhasesOfRanks"]

CODE: Final = "dynamics.phase_slow"
MAX_PHASES: Final = 4_096
MAX_RANKS: Final = 1_024
"""Of one attempt: those that are counted, slow or not."""
_IN: Final = {
    "data": "Waiting for data",
    "compute": "What lies between data and optimizer",
    "optimizer": "The optimizer's step",
}
_CAUSES: Final = (
    "Longer samples, an evaluation, other work on the machine, a hot processor and waiting for another rank look the "
    "same."
)
_NS: Final = 1e9
_finding = partial(observation, check="dynamics", code=CODE, severity="info")


class _OfRank(NamedTuple):
    rank: int
    entry: int
    slow: SlowPhase


class PhasesOfRanks:
    """What was slow, by attempt, optimizer and phase."""

    __slots__ = ("_ranks", "_slow")

    def __init__(self) -> None:
        self._ranks: dict[tuple[int, int], set[int]] = {}
        self._slow: dict[tuple[int, int, str], list[_OfRank]] = {}

    def copy(self) -> PhasesOfRanks:
        """What was taken so far, to take in more beside it."""
        other = PhasesOfRanks()
        other._ranks = {at: set(ranks) for at, ranks in self._ranks.items()}
        other._slow = {at: list(slow) for at, slow in self._slow.items()}
        return other

    def take(self, attempt: int, optimizer: int, rank: int, entry: int, found: Iterable[SlowPhase]) -> None:
        """Takes a process in."""
        ranks = self._ranks.setdefault((attempt, optimizer), set()) if len(self._ranks) < MAX_PHASES else set()
        if len(ranks) < MAX_RANKS:
            ranks.add(rank)
        for slow in found:
            place = (attempt, optimizer, slow.phase)
            if place in self._slow or len(self._slow) < MAX_PHASES:
                kept = self._slow.setdefault(place, [])
                if len(kept) < MAX_RANKS:
                    kept.append(_OfRank(rank, entry, slow))

    def findings(self, told: set[tuple[int, int]]) -> list[Finding]:
        """One for each phase, but of those attempts and optimizers of which more was `told` already."""
        return [
            self._finding(attempt, optimizer, slow)
            for (attempt, optimizer, _), slow in self._slow.items()
            if (attempt, optimizer) not in told
        ]

    def _finding(self, attempt: int, optimizer: int, slow: list[_OfRank]) -> Finding:
        worst = max(slow, key=lambda each: each.slow.lost_ns).slow
        ranks, of = tuple(sorted({each.rank for each in slow})), len(self._ranks.get((attempt, optimizer), ()))
        message = (
            f"{_IN[worst.phase]} took {worst.usual_ns / _NS:.2g} s as a rule, and at least three times as long in "
            f"{worst.updates:,} updates from {worst.first} to {worst.last}: {worst.lost_ns / _NS:.1f} s more in all."
        )
        if len(ranks) < of:
            others = self._others(attempt, optimizer, worst.phase, ranks)
            message += f" It was so on {len(ranks)} of {of} ranks{others}."
        first, last = min(each.slow.first for each in slow), max(each.slow.last for each in slow)
        return _finding(
            subject=f"{worst.phase}{'' if optimizer == 0 else f' of optimizer {optimizer}'}",
            message=f"{message} {_CAUSES}",
            steps=(None, None) if optimizer else (first, last),
            ranks=ranks,
            evidence=tuple(sorted({each.entry for each in slow}))[:MAX_EVIDENCE],
        )

    def _others(self, attempt: int, optimizer: int, phase: str, ranks: tuple[int, ...]) -> str:
        """What the other ranks were slow in: those that wait for a rank are so in computing."""
        waits = {each.rank for each in self._slow.get((attempt, optimizer, "compute"), ())} - set(ranks)
        return "" if phase == "compute" or not waits else f", and {len(waits)} others took longer in computing"
