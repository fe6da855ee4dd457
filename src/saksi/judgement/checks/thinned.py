"""Updates that were drawn to give no samples, so that a recorder keeps to its share of the time."""

from __future__ import annotations

from typing import Final

import msgspec

from saksi.judgement.checks.fold import Noted, joined
from saksi.words.findings import Finding

__all__ = ["THINNED", "Thinned"]

THINNED: Final = "coverage.samples_thinned"
"""Samples were not taken, so that the recorder keeps to its share of the time."""
_WHY: Final = (
    "so that the recorder keeps to its share of the time; those that gave some were drawn by a secret key. With a "
    "larger `saksi run --overhead-budget` more do."
)


class Thinned:
    """One finding for each class of optimizer, with how many Updates there were. The classes are those with a rule."""

    __slots__ = ("_counts", "_found")

    first: Final = f"Some updates give no samples, {_WHY}"

    def __init__(self) -> None:
        self._found: dict[str, Finding] = {}
        self._counts: dict[str, int] = {}

    def take(self, noted: Noted, finding: Finding) -> None:
        """One more Update of the optimizer that `finding` is about; the first one is news."""
        known = self._found.get(finding.subject)
        if known is None:
            noted.announce(finding)
        self._found[finding.subject] = finding if known is None else joined(known, finding)
        self._counts[finding.subject] = self._counts.get(finding.subject, 0) + 1

    def findings(self) -> tuple[Finding, ...]:
        """Each with the number."""
        return tuple(
            msgspec.structs.replace(
                found, message=f"{self._counts[name]:,} updates gave no samples and were not recomputed, {_WHY}"
            )
            for name, found in self._found.items()
        )
