"""Values of an Update that devices deliver later: announced in its frame, said in a `deferred` frame when they come.

Rules: updates are said in order; at most `MAX_PENDING` wait, and the oldest is said with what it lacks when one more
comes; what a device was never asked for is not announced but counted; at the end of the process what waits is asked
for until a deadline, then said as lacking.
"""

from __future__ import annotations

import threading
import time
from typing import Any, Callable, Optional

from . import memory, readings, session
from .device_sums import Summed
from .guard import guarded, is_off
from .plain import text
from .readings import Awaited, Reading

MAX_PENDING = 16
POLL_S = 0.002
TOO_LATE = "the device had not delivered it %d updates later" % MAX_PENDING
FAILED = "asking the device failed"
ENDED = "the process ended before the device had delivered it"

pollers: list[Callable[[], None]] = []
"""Called when it is known anew which readings are there."""
waiting: list[Callable[[], bool]] = []
"""Whether somebody else still waits for a reading, asked at the end of the process."""
enders: list[Callable[[bool], None]] = []
"""Called when nothing more is waited for, and told whether the process ends."""

_pending: list["Pending"] = []
_speaking = [threading.Lock()]
_lacked = [0]


class Pending:
    """One Update's values that are not known yet."""

    def __init__(self, optimizer: int, update: int) -> None:
        self.optimizer = optimizer
        self.update = update
        self.names: list[str] = []
        self.loss: Optional[Awaited] = None
        self.skipped: Optional[Awaited] = None
        self.norm: Optional[dict[str, Any]] = None
        self.groups: list[tuple[int, str, Awaited]] = []
        self.prints: list[dict[str, Any]] = []

    def number(self, name: str, value: Any) -> Any:
        """A loss or a flag: itself if it is known, else None, and it is awaited."""
        if not isinstance(value, Awaited):
            return value
        setattr(self, name, value)
        self.names.append(name)
        return None

    def gradient_norm(self, value: Optional[dict[str, Any]]) -> Optional[dict[str, Any]]:
        """What clipping measured: itself if all of it is known."""
        if value is None or not any(isinstance(one, Awaited) for one in value.values()):
            return value
        self.norm = value
        self.names.append("gradient_norm")
        return None

    def hyper_parameters(self, found: list[tuple[int, str, Awaited]]) -> None:
        """Those that lie on a device."""
        self.groups = found
        if found:
            self.names.append("groups")

    def fingerprints(self, found: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Those that are known at both ends; the others are awaited."""
        known = [one for one in found if not isinstance(one["start"], Summed) and not isinstance(one["end"], Summed)]
        self.prints = [one for one in found if one not in known]
        if self.prints:
            self.names.append("fingerprints")
        return known

    def parts(self) -> list[tuple[str, list[Reading]]]:
        """Each name, with the readings that it needs."""
        norm = [] if self.norm is None else [one for one in self.norm.values() if isinstance(one, Awaited)]
        sums = [each for one in self.prints for each in (one["start"], one["end"]) if isinstance(each, Summed)]
        needs = {
            "loss": [] if self.loss is None else [self.loss.reading],
            "skipped": [] if self.skipped is None else [self.skipped.reading],
            "gradient_norm": [one.reading for one in norm],
            "groups": [one.reading for _, _, one in self.groups],
            "fingerprints": [reading for one in sums for reading in one.readings()],
        }
        return [(name, needs[name]) for name in self.names]

    def is_there(self) -> bool:
        """Whether everything has come."""
        return all(reading.there for _, needed in self.parts() for reading in needed)

    def frame(self, reason: Optional[str]) -> dict[str, Any]:
        """The frame's fields, with what has come."""
        parts = self.parts()
        lacking = [name for name, needed in parts if not all(reading.there for reading in needed)]
        here = [name for name in self.names if name not in lacking]
        return {
            "optimizer": self.optimizer,
            "update": self.update,
            "loss": _float(self.loss) if self.loss is not None and "loss" in here else None,
            "gradient_norm": _norm(self.norm) if self.norm is not None and "gradient_norm" in here else None,
            "skipped": bool(self.skipped.value()) if self.skipped is not None and "skipped" in here else None,
            "groups": [[place, name, one.value()] for place, name, one in self.groups] if "groups" in here else [],
            "fingerprints": [_print(one) for one in self.prints] if "fingerprints" in here else [],
            "lacking": lacking,
            "reason": None if reason is None or not lacking else text(reason),
        }


def _float(one: Awaited) -> Any:
    value = one.value()
    return memory.number(value) if isinstance(value, int) else value


def _norm(given: dict[str, Any]) -> dict[str, Any]:
    value, limit = (_float(one) if isinstance(one, Awaited) else one for one in (given["value"], given["max_norm"]))
    return clipping(value, limit)


def clipping(value: Any, limit: Any) -> dict[str, Any]:
    """What a clipping to the norm `limit` did, where it measured `value`."""
    coefficient = min(1.0, float(limit) / (float(value) + 1e-6))
    return {"value": value, "max_norm": limit, "coefficient": memory.number(coefficient)}


def _print(given: dict[str, Any]) -> dict[str, Any]:
    ends = {end: given[end].value() if isinstance(given[end], Summed) else given[end] for end in ("start", "end")}
    return dict(given, **ends)


def wait_for(pending: Pending) -> None:
    """The Update has been said; what it announced follows, unless saying it has failed before."""
    if pending.names and not is_off("deferred"):
        _pending.append(pending)


@guarded("deferred")
def say_what_came() -> None:
    """Say what is there by now. Never waits."""
    if not (_pending or readings.flying or readings.flying_elsewhere or _others_wait()) or not _speaking[0].acquire(
        blocking=False
    ):
        return  # nothing waits, or another thread is saying it
    try:
        _say_what_came()
    finally:
        _speaking[0].release()


def _say_what_came() -> None:
    readings.look()
    if readings.failed():
        give_up(FAILED, ends=False)
        return
    while _pending and _pending[0].is_there():
        _say(_pending.pop(0), None)
    while len(_pending) > MAX_PENDING:
        _say(_pending.pop(0), TOO_LATE)
    for poll in pollers:
        poll()


def give_up(reason: str, *, ends: bool) -> None:
    """Say all that waits as lacking what has not come; the process may be ending."""
    while _pending:
        _say(_pending.pop(0), reason)
    for end in enders:
        end(ends)


def _others_wait() -> bool:
    return any(waits() for waits in waiting)


@guarded("deferred")
def finish(deadline: float) -> None:
    """The process ends: ask until the deadline (of `time.monotonic`), then give up, and say what was not read."""
    while _pending or _others_wait():
        say_what_came()
        if readings.failed() or time.monotonic() >= deadline:
            break
        time.sleep(POLL_S)
    give_up(FAILED if readings.failed() else ENDED, ends=True)
    counted = ["%d because %s" % (times, why) for why, times in sorted(readings.refused.items())]
    if _lacked[0]:
        counted.append("%d were announced and did not come" % _lacked[0])
    if counted:
        session.uncovered("how often a device was not read", "; ".join(counted))


def _say(pending: Pending, reason: Optional[str]) -> None:
    frame = pending.frame(reason)
    _lacked[0] += len(frame["lacking"])
    session.say("deferred", frame)


def after_fork_in_child() -> None:
    """A child waits for nothing that the parent asked for."""
    readings.after_fork_in_child()
    _pending.clear()
    _speaking[0] = threading.Lock()
    _lacked[0] = 0
