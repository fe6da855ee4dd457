"""Updates that a gradient scaler left out, and whether a scaler could have.

A scaler begins high and halves its scale at each overflow, so that it leaves out some ten at first, and then one now
and then when it has grown. After `IN_A_ROW` halvings no finite gradient overflows any more.
"""

from __future__ import annotations

from typing import Final

__all__ = ["LeftOut"]

IN_A_ROW: Final = 40
"""2^16, torch's first scale, becomes 2^-24: a gradient that still overflows in half precision is above 10^12."""
MANY: Final = 20
"""One Update of so many: growth alone leaves out one of 2,000."""
KNOWN: Final = 200
"""Updates behind the first one that was made, before a share says anything."""


class LeftOut:
    """Of one optimizer's Updates in one process."""

    __slots__ = ("_made_any", "_row", "made", "skipped")

    def __init__(self) -> None:
        self._made_any = False
        self._row = 0
        self.made = self.skipped = 0  # since the first one that was made

    def take(self, *, skipped: bool) -> str | None:
        """Takes an Update in; what no scaler does by itself, if it is that."""
        if not skipped:
            self._made_any, self._row = True, 0
            self.made += 1
            return None
        self._row += 1
        self.skipped += self._made_any
        if self._row > IN_A_ROW:
            return f"more than {IN_A_ROW} updates one after another"
        if self.made + self.skipped >= KNOWN and self.skipped * MANY > self.made + self.skipped:
            return f"more than one of {MANY} updates"
        return None
