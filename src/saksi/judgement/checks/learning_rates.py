"""Was a learning rate multiplied while its curve went on? Asked of every run, with or without a plan.

Nothing here is held against a run: a second schedule on top, a drop that follows the loss and a rate that somebody set
by hand make the same values, and only a declared plan (`plan`) tells which was meant.

Known weaknesses: a factor from the first Updates on, one that comes and goes within some Updates, one on a schedule
that stands still between epochs, and rates in float32 whose curve moves are not told.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Final

from saksi.judgement.checks.fold import Noted, observation
from saksi.judgement.checks.followed import Followed
from saksi.judgement.items import Item
from saksi.judgement.plan.curve import Curve, Scaled
from saksi.words.findings import Finding
from saksi.words.frames import UpdateFrame

__all__ = ["CHECK_NAME", "LEARNING_RATES", "LearningRateCheck"]

CHECK_NAME: Final = "learning_rates"
SCALED: Final = "plan.learning_rate_scaled"
MAX_GROUPS: Final = 1_024
"""Of one process, over all its optimizers; further ones are not looked at."""
MAX_ALL: Final = 1 << 17
"""Of all processes."""
_LOOKS_THE_SAME: Final = "A further schedule, a drop that follows the loss and a rate set by hand look the same."
_finding = partial(observation, check=CHECK_NAME, code=SCALED, severity="info")


class _Process:
    __slots__ = ("curves", "last", "size", "told")

    def __init__(self) -> None:
        self.curves: dict[tuple[int, int], Curve] = {}
        self.size = 0
        self.told: set[tuple[int, int]] = set()
        self.last = (0, 0)  # rank and entry

    def take(self, frame: UpdateFrame, room: int) -> Iterator[Finding]:
        """What is told as an Update comes."""
        most = min(MAX_GROUPS, self.size + room)
        for number, group in enumerate(frame.groups):
            rate = group.get("lr")
            if not isinstance(rate, float):
                continue
            curve = self.curves.get((frame.optimizer, number))
            if curve is None:
                if self.size >= most:
                    return
                curve = self.curves[frame.optimizer, number] = Curve()
                self.size += 1
            scaled = curve.take(frame.update, rate)
            # Groups of one schedule are scaled together: the first stands for all.
            if scaled is not None and (frame.optimizer, scaled.update) not in self.told:
                self.told.add((frame.optimizer, scaled.update))
                yield self._tell(frame.optimizer, number, scaled, "and its curve went on as before")

    def at_the_end(self) -> Iterator[Finding]:
        """What is known only once no more comes: a rate that changed a single time."""
        told: set[tuple[int, int]] = set()
        for (optimizer, number), curve in self.curves.items():
            change = curve.only_change
            if change is not None and (optimizer, change.update) not in told:
                told.add((optimizer, change.update))
                yield self._tell(optimizer, number, change, "and stood still before and after")

    def _tell(self, optimizer: int, number: int, scaled: Scaled, how: str) -> Finding:
        step = None if optimizer else scaled.update
        message = (
            f"The rate of group {number} was multiplied by {scaled.factor:.4g} at update {scaled.update}, {how}: it "
            f"had been {scaled.before!r} and became {scaled.after!r}. {_LOOKS_THE_SAME}"
        )
        rank, entry = self.last
        subject = f"lr of optimizer {optimizer}"
        return _finding(subject=subject, message=message, steps=(step, step), ranks=(rank,), evidence=(entry,))


class _State:
    __slots__ = ("followed", "noted")

    def __init__(self) -> None:
        self.noted = Noted()
        what = "the curves of learning rates are not looked at"
        self.followed = Followed(_Process, size=MAX_ALL, noted=self.noted, what=what, gone=self._gone)

    def _gone(self, process: _Process) -> None:
        for each in process.at_the_end():
            self.noted.note(each)


class LearningRateCheck:
    """The learning rates of every Update against those before it."""

    name = CHECK_NAME

    def start(self) -> _State:
        """See `Check.start`."""
        return _State()

    def step(self, state: _State, item: Item) -> tuple[_State, tuple[Finding, ...]]:
        """See `Check.step`."""
        for said, process in state.followed.take(item, UpdateFrame):
            if isinstance(said.frame, UpdateFrame) and not said.frame.skipped:
                process.last = said.rank, said.entry
                for each in process.take(said.frame, state.followed.room):
                    state.noted.note(each)
        return state, state.noted.news()

    def finish(self, state: _State, *, ended: bool) -> tuple[Finding, ...]:
        """See `Check.finish`."""
        left = [each for process in state.followed.kept() for each in process.at_the_end()] if ended else []
        return (*state.noted.kept(), *left)


LEARNING_RATES: Final = LearningRateCheck()
