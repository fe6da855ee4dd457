"""The alarm that most teams have: the loss or the norm of the gradient jumps, or is no number any more.

A value alarms if it lies further above the median of the last values than eight times their median distance from it,
and than the median itself. Both factors are chosen so that noise of a small training seldom reaches them; an alarm
that rings for less finds more of the cases and more of the honest programs.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from statistics import median
from typing import ClassVar, Final

from saksi.range.detectors.protocol import Alarm, Seen

__all__ = ["Jumps"]

WINDOW: Final = 12
"""Steps that are looked back on."""
ENOUGH: Final = 6
"""Steps before anything can be called a jump."""
SPREADS: Final = 8.0
SHARE: Final = 1.0


class Jumps:
    """Loss and gradient norm of each rank, step after step."""

    name: ClassVar[str] = "loss and norm alarm"
    names_objects: ClassVar[bool] = False

    def judge(self, seen: Seen) -> tuple[Alarm, ...]:
        """See `Detector.judge`."""
        alarms = []
        for rank in sorted({each.rank for each in seen.numbers}):
            own = [each for each in seen.numbers if each.rank == rank]
            curves = {
                "loss": [(each.step, each.loss) for each in own],
                "gradient norm": [(each.step, each.gradient_norm) for each in own],
            }
            for name, curve in curves.items():
                alarms += [
                    Alarm(code="jump", text=f"{name} of rank {rank}", first_step=step) for step in jumps_of(curve)
                ]
        return tuple(alarms)


def jumps_of(curve: list[tuple[int, float | None]]) -> Iterator[int]:
    """The steps at which the curve jumps upward."""
    last: deque[float] = deque(maxlen=WINDOW)
    for step, value in curve:
        if value is None:
            continue
        if not math.isfinite(value):
            yield step
            continue
        if len(last) >= ENOUGH:
            middle = median(last)
            spread = median(abs(each - middle) for each in last)
            if value - middle > max(SPREADS * spread, SHARE * abs(middle)):
                yield step
        last.append(value)
