"""Is a metric that is planned to be the loss the loss? One process's reports beside the losses of its Updates.

Rules: a report is of the Update that was the last one by then or, where it is made between the backward and the step,
of the next one; a device may deliver the loss or the report first, so whichever is there waits for the other; a report
may be rounded.

Known weaknesses: of losses below a thousandth a report is free to say half as much, and it may always say the loss of
the Update beside its own. What backward is called on is the loss: behind a gradient scaler that is another number.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final, NamedTuple

from saksi.words.frames import MetricFrame, UpdateFrame

__all__ = ["OtherReport", "Reported"]

NEAR: Final = 2.0**-8
"""Of the loss: one that was rounded to bfloat16 on its way is off by as much."""
ROUNDED: Final = 5.001e-4
"""What a report of three decimals is off by, and a little for the decimals that no float has."""
MAX_WAITING: Final = 64
"""Losses, and reports, that are kept until the other comes."""


class OtherReport(NamedTuple):
    """The metric `name` was said to be `report` for Update `step`, and the loss that was witnessed is `loss`."""

    name: str
    step: int
    report: float
    loss: float


class _Waiting(NamedTuple):
    step: int
    name: str
    value: float


class Reported:
    """The metrics of one process whose `names` are planned to be the loss."""

    __slots__ = ("_before_step", "_dropped", "_losses", "_names", "_reports", "_seen")

    def __init__(self, names: tuple[str, ...]) -> None:
        self._names = names
        self._losses: dict[int, float] = {}
        self._reports: list[_Waiting] = []
        self._before_step: dict[str, bool] = {}  # by metric, how the last report that fitted was made
        self._dropped = 0
        self._seen: set[str] = set()

    @property
    def unseen(self) -> tuple[str, ...]:
        """Those that were never compared."""
        return tuple(each for each in self._names if each not in self._seen)

    @property
    def alone(self) -> int:
        """Reports that stand beside no loss that decides, so far."""
        return self._dropped + len(self._reports)

    def take(self, frame: UpdateFrame) -> Iterator[OtherReport]:
        """Takes an Update of optimizer 0 in."""
        if frame.loss is None or "loss" in frame.deferred:
            return
        self._losses[frame.update] = float(frame.loss)
        if len(self._losses) > MAX_WAITING:
            del self._losses[next(iter(self._losses))]
        yield from self._compared()

    def report(self, frame: MetricFrame) -> Iterator[OtherReport]:
        """Takes reports in."""
        new = [_Waiting(frame.step, name, float(value)) for name, value in frame.values if name in self._names]
        waiting = [*self._reports, *new]
        self._reports = waiting[-MAX_WAITING:]
        self._dropped += len(waiting) - len(self._reports)
        yield from self._compared() if new else ()

    def _compared(self) -> Iterator[OtherReport]:
        waiting, self._reports = self._reports, []
        for each in waiting:
            last, coming = self._losses.get(each.step), self._losses.get(each.step + 1)
            fits = [at for at, loss in enumerate((last, coming)) if loss is not None and _is_near(each.value, loss)]
            if fits:
                self._seen.add(each.name)
                self._before_step[each.name] = 0 not in fits
            elif coming is None or (last is None and each.step >= 0):
                self._reports.append(each)
            else:
                self._seen.add(each.name)
                if last is None or self._before_step.get(each.name, False):
                    yield OtherReport(each.name, each.step + 1, each.value, coming)
                else:
                    yield OtherReport(each.name, each.step, each.value, last)


def _is_near(report: float, loss: float) -> bool:
    if math.isnan(report) or math.isnan(loss):
        return math.isnan(report) and math.isnan(loss)
    return math.isclose(report, loss, rel_tol=NEAR, abs_tol=ROUNDED)
