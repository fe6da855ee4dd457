"""Whether a program does something at every Update from the first on: then it does so for a purpose."""

from __future__ import annotations

import msgspec

from saksi.judgement.checks.fold import Noted, joined
from saksi.words.findings import Finding

__all__ = ["Habit"]


class Habit:
    """One thing that may be so at an Update, of which a warning tells; how often it was, of the times it was asked."""

    __slots__ = ("_announced", "asked", "finding", "times")

    def __init__(self) -> None:
        self.asked = 0
        self.times = 0
        self.finding: Finding | None = None
        self._announced = False

    def was_so(self, finding: Finding, noted: Noted) -> None:
        """It was so at the Update that was asked about last; where somebody expects that, it is told by itself."""
        self.times += 1
        if noted.keeps_as_expected(finding):
            return
        self.finding = finding if self.finding is None else joined(self.finding, finding)

    def tell(self, noted: Noted) -> None:
        """Makes it news, once, when it is seen to be no habit."""
        if self.finding is not None and self.times < self.asked and not self._announced:
            self._announced = True
            noted.announce(self.finding)

    def weighed(self) -> Finding | None:
        """What is to be told of it: as `info` if it was so every time."""
        if self.finding is None or self.times < self.asked:
            return self.finding
        return msgspec.structs.replace(self.finding, severity="info", alleges="drift")
