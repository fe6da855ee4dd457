"""Where in the planned schedule a process stands, learned from the learning rates that its Updates had.

Rules: an ordinary start stands at step 0; who loaded a model checkpoint, or continues an earlier attempt, may stand
anywhere, and what it does later says where; who moves again and again stays where it is; an Update that a scaler left
out may have moved the schedule or not.
"""

from __future__ import annotations

import math
from typing import Final

from saksi.judgement.plan.schedule import ANYWHERE, Schedule, Stretch, overlap

__all__ = ["MAX_MOVES", "Course"]

MAX_MOVES: Final = 16
"""Times that a process may go elsewhere because it loaded something; one that only loads data does not move."""


class Course:
    """The offsets that are left: planned step less the counter of the Update."""

    __slots__ = ("_home", "_left_out", "_moves", "_offsets", "_schedule")

    def __init__(self, schedule: Schedule, *, anywhere: bool) -> None:
        self._schedule = schedule
        self._offsets: tuple[Stretch, ...] = ANYWHERE if anywhere else (Stretch(0, 0),)
        self._home: tuple[Stretch, ...] = self._offsets  # where it stood as it last loaded something
        self._moves = 0
        self._left_out = 0

    @property
    def is_anywhere(self) -> bool:
        """Whether nothing is known yet of where it stands."""
        return self._offsets is ANYWHERE

    def leave(self) -> None:
        """A model checkpoint was loaded: from here on it may stand anywhere, unless that was used too often."""
        if self._offsets is not ANYWHERE:
            common = overlap(self._home, self._offsets)
            self._moves += not common
            self._home = common or self._offsets
        if self._moves <= MAX_MOVES:
            self._offsets = ANYWHERE

    def fits(self, update: int, rate: float) -> bool:
        """Whether an Update may have this rate; if so, offsets that do not allow it are no longer left."""
        if not math.isfinite(rate):
            return False
        first = self._offsets[0]
        if len(self._offsets) == 1 and first.first == first.last:
            return self._schedule.is_at(update + first.first, rate)
        planned = self._schedule.steps_with(rate)
        found = overlap(self._offsets, [Stretch(a - update, b - update) for a, b in planned])
        self._offsets = found or self._offsets
        return bool(found)

    def planned(self, update: int) -> tuple[int, float]:
        """A planned step that an Update may be at, and the rate there."""
        nearest = (max(each.first, min(0, each.last)) for each in self._offsets)
        step = max(0, update + min(nearest, key=abs))
        return step, self._schedule.at(step)

    def may_stand_still(self) -> None:
        """An Update was left out: some programs move the schedule all the same, others do not."""
        if self._offsets is ANYWHERE:
            return
        self._left_out += 1
        widened: list[Stretch] = []
        for each in self._offsets:
            if widened and each.first - 1 <= widened[-1].last + 1:
                widened[-1] = Stretch(widened[-1].first, each.last)
            else:
                widened.append(Stretch(each.first - 1, each.last))
        self._offsets = tuple(widened)

    def moved_by(self) -> int:
        """How far at least it stands from where it would without a model checkpoint; 0 if it may stand just there."""
        if any(each.first <= 0 and each.last >= -self._left_out for each in self._offsets):
            return 0
        return min((edge for each in self._offsets for edge in each), key=abs)
