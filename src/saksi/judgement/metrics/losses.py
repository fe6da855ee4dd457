"""Losses as they were witnessed, and what programs make of them before they report: means and moving averages.

Rules: every form can begin anew at any of the last Updates, as meters do with an epoch; what a loss was that is not
known is never guessed: a form that needs it has no value.
"""

from __future__ import annotations

import math
from collections import deque
from typing import Final, Literal, NamedTuple, TypeAlias

__all__ = ["KEPT", "LARGEST", "Form", "Losses", "Mark", "Running", "forms"]

KEPT: Final = 256
"""Updates whose losses are kept: the longest window that is known has 250."""
LARGEST: Final = 1e12
"""Beyond it a sum keeps nothing of what else is in it."""
WINDOWS: Final = (5, 10, 16, 20, 25, 32, 50, 64, 100, 128, 200, 250)
SHARES: Final = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.97, 0.98, 0.99, 0.995, 0.999)
"""What a moving average keeps of itself."""

Kind: TypeAlias = Literal["last", "since", "window", "mean", "weighted", "first", "zero", "corrected"]
_AVERAGES: Final[tuple[Kind, ...]] = ("first", "zero", "corrected")


class Form(NamedTuple):
    """What is made of losses. `size`: of a window how many, of a moving average what it keeps of itself.

    `since` is the mean since the last report; `mean` that since a start, `weighted` by the samples of each batch.
    Moving averages differ in how they begin: with the first loss, with zero, or with zero and a correction for that.
    """

    kind: Kind
    size: float = 0.0

    @property
    def is_average(self) -> bool:
        """Whether it is a moving average, of which every loss is a part for ever."""
        return self.kind in _AVERAGES

    def __str__(self) -> str:
        if self.kind == "last":
            return "the loss that backward was called on"
        if self.kind == "since":
            return "the mean of those losses since the last report"
        if self.kind == "window":
            return f"the mean of the last {self.size:.0f} of those losses"
        if self.is_average:
            return f"a moving average of those losses that keeps {self.size:g} of itself"
        return "the mean of those losses"


def forms() -> list[Form]:
    """Every form that is known."""
    plain: tuple[Kind, ...] = ("last", "since", "mean", "weighted")
    return [
        *(Form(kind) for kind in plain),
        *(Form("window", size) for size in WINDOWS),
        *(Form(kind, share) for kind in _AVERAGES for share in SHARES),
    ]


class Mark(NamedTuple):
    """So many Updates, and the sums of their losses, of those times samples, and of samples."""

    update: int
    plain: float = 0.0
    weighted: float = 0.0
    weight: float = 0.0


class Losses:
    """The losses of one optimizer's Updates. `count` is how many Updates there were, known or not."""

    __slots__ = ("_marks", "_values", "count", "highest", "known_from")

    def __init__(self) -> None:
        self.count = 0
        self.highest = 0.0
        self.known_from = 0  # the first Update since which every loss is known
        self._values: deque[float] = deque(maxlen=KEPT)
        self._marks: deque[Mark] = deque([Mark(0)], maxlen=KEPT + 1)

    @property
    def last(self) -> float | None:
        """The last loss, if it is known."""
        return self._values[-1] if self._values else None

    def take(self, loss: float | None, items: int) -> None:
        """Takes the next Update's loss in; `None` where it is not known."""
        self.count += 1
        if loss is None or not abs(loss) <= LARGEST:
            self.known_from = self.count
            self._values.clear()
            self._marks.clear()
            self._marks.append(Mark(self.count))
            return
        before = self._marks[-1]
        weighted, weight = before.weighted + loss * items, before.weight + items
        self.highest = max(self.highest, abs(loss))
        self._values.append(loss)
        self._marks.append(Mark(self.count, before.plain + loss, weighted, weight))

    def mark(self) -> Mark:
        """The sums up to now."""
        return self._marks[-1]

    def mark_at(self, update: int) -> Mark | None:
        """The sums of all that came before the Update at this place; `None` where they are not kept."""
        back = self.count - update
        return self._marks[-1 - back] if 0 <= back < len(self._marks) else None

    def since(self, update: int) -> list[float] | None:
        """The losses from this Update on, if all are kept."""
        many = self.count - update
        return [self._values[at - many] for at in range(many)] if 0 <= many <= len(self._values) else None

    def median(self, many: int) -> float | None:
        """Of the last losses that are known."""
        kept = sorted(self._values[-1 - at] for at in range(min(many, len(self._values))))
        return kept[len(kept) // 2] if kept else None


class Running:
    """One form, from the Update at `start` on."""

    __slots__ = ("_average", "_base", "_taken", "form", "start")

    def __init__(self, form: Form, losses: Losses, start: int) -> None:
        self.form = form
        self.start = start
        self._base = losses.mark_at(start)
        self._average: float | None = 0.0
        self._taken = 0
        if form.is_average:
            known = losses.since(start)
            for loss in [None] if known is None else known:
                self.take(loss)

    def take(self, loss: float | None) -> None:
        """The next Update's loss."""
        if not self.form.is_average:
            return
        if loss is None or self._average is None:
            self._average = None
            return
        keep = self.form.size
        first = self.form.kind == "first" and self._taken == 0
        self._average = loss if first else keep * self._average + (1.0 - keep) * loss
        self._taken += 1

    def value(self, losses: Losses, reported: Mark) -> float | None:
        """What the form makes of the losses up to now; `reported` is where the last report stood."""
        kind, size = self.form
        if kind == "last":
            return losses.last
        if kind in _AVERAGES:
            return self._averaged(size)
        if kind in {"mean", "weighted"}:
            return _mean(losses, self._base, weighted=kind == "weighted")
        begin = losses.count - int(size) if kind == "window" else reported.update
        if begin < self.start:
            return _mean(losses, self._base, weighted=False)
        return _mean(losses, losses.mark_at(begin) if kind == "window" else reported, weighted=False)

    def _averaged(self, keep: float) -> float | None:
        if self._average is None or not self._taken:
            return None
        return self._average / (1.0 - math.pow(keep, self._taken)) if self.form.kind == "corrected" else self._average


def _mean(losses: Losses, begin: Mark | None, *, weighted: bool) -> float | None:
    if begin is None or begin.update < losses.known_from or begin.update >= losses.count:
        return None
    now = losses.mark()
    if weighted:
        weight = now.weight - begin.weight
        return (now.weighted - begin.weighted) / weight if weight > 0 else None
    return (now.plain - begin.plain) / (now.update - begin.update)
