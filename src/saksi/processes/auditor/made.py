"""Whether a replay that goes on has made the Steps that were asked for: it is ended then."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import Final

from saksi.judgement.items import read_items
from saksi.judgement.replay.recorded import recorded_of
from saksi.processes.auditor.launches import reading_in
from saksi.words.errors import SaksiError

__all__ = ["Made"]

_SHARE: Final = 5.0
"""How many times longer than it takes to read the record it is waited before it is read again."""


class Made:
    """Whether a replay made the Steps that were asked for. Its record is read as often as that costs little."""

    def __init__(self, asked: tuple[int, int] | None, scratch: Path) -> None:
        self.reached = False
        self._asked = asked
        self._scratch = scratch
        self._next = 0.0

    def enough(self) -> bool:
        """Looks again, unless it was looked just now."""
        began = time.monotonic()
        if self._asked is None or began < self._next:
            return self.reached
        with contextlib.suppress(SaksiError, OSError):  # a log that is being written may be half there
            self.reached = self._looked(*self._asked)
        self._next = time.monotonic() + _SHARE * (time.monotonic() - began)
        return self.reached

    def _looked(self, ranks: int, steps: int) -> bool:
        reading = reading_in(self._scratch)
        if reading is None:
            return False
        made = recorded_of(read_items(reading.entries, reading.blob), 0)
        done = [rank for rank, count in made.steps.items() if count > steps or (rank, steps - 1) in made.roots]
        return len(done) >= ranks
