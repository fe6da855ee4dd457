"""The pace of the processes that train: the last Step of each, who fell silent, who was stopped.

A process that made updates is silent if it says nothing for `SILENT_NS`, or for ten of its usual steps if these are
longer, or for twice the longest pause that it came back from in the same phase: after an update (evaluation, data),
after a binding root, after a model checkpoint. Silence is an observation. A stop (state T) is seen at the next look;
one that ends before it is not seen.
"""

from __future__ import annotations

import statistics
from collections import deque
from collections.abc import Callable, Iterator
from typing import Final, Literal

import msgspec

from saksi.processes.agent.connection import Connection
from saksi.words.frames import AnyFrame, DetachFrame, UpdateFrame

__all__ = ["Change", "Pace"]

SILENT_NS: Final = 30_000_000_000
USUAL_STEPS: Final = 10
USUAL_PAUSES: Final = 2
REMEMBERED: Final = 31
MAX_FOLLOWED: Final = 4_096
StateOf = Callable[[int], str | None]


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """Something changed about a process that trains. `since_ns` is when, by the monotonic clock.

    Where it fell silent: `after` which kind of frame, and its `process_state` now.
    """

    pid: int
    rank: int
    event: Literal["stopped", "continued", "silent", "heard"]
    last_step: int | None
    since_ns: int
    after: str | None = None
    process_state: str | None = None


class _Followed:
    __slots__ = (
        "after",
        "heard_ns",
        "last_step",
        "left",
        "pauses",
        "rank",
        "silent",
        "stopped_ns",
        "took",
        "update_ns",
    )

    def __init__(self) -> None:
        self.rank = 0
        self.heard_ns = 0
        self.after = ""  # the kind of the last frame
        self.pauses: dict[str, int] = {}  # the longest by the kind of the frame before it, if longer than `SILENT_NS`
        self.last_step: int | None = None
        self.update_ns: int | None = None
        self.took: deque[int] = deque(maxlen=REMEMBERED)
        self.left = False
        self.silent = False
        self.stopped_ns: int | None = None

    def patience_ns(self) -> int:
        """How long it may say nothing."""
        usual = int(USUAL_STEPS * statistics.median(self.took or [0]))
        return max(SILENT_NS, usual, USUAL_PAUSES * self.pauses.get(self.after, 0))


class Pace:
    """One for each attempt. Times are the agent's own: what the job says of time is not used."""

    def __init__(self) -> None:
        self._followed: dict[int, _Followed] = {}

    def heard(self, connection: Connection, frame: AnyFrame, now_ns: int) -> Iterator[Change]:
        """A frame came in."""
        pid = connection.peer.pid
        each = self._followed.get(pid)
        if each is None:
            if len(self._followed) >= MAX_FOLLOWED:
                return
            each = self._followed[pid] = _Followed()
        each.rank, each.left = connection.rank, isinstance(frame, DetachFrame)
        if each.silent:
            each.silent = False
            yield self._change(pid, each, "heard", now_ns)
        if each.last_step is not None and now_ns - each.heard_ns > SILENT_NS:
            each.pauses[each.after] = max(now_ns - each.heard_ns, each.pauses.get(each.after, 0))
        each.heard_ns, each.after = now_ns, str(type(frame).__struct_config__.tag)
        if isinstance(frame, UpdateFrame) and frame.optimizer == 0:
            each.last_step = frame.update
            if each.update_ns is not None:
                each.took.append(now_ns - each.update_ns)
            each.update_ns = now_ns

    def look(self, now_ns: int, state_of: StateOf) -> Iterator[Change]:
        """Look at the processes that train, and at those that attached and have not yet. `state_of` is as in /proc."""
        for pid, each in self._followed.items():
            state = state_of(pid)
            if state is None:
                continue
            if (state == "T") != (each.stopped_ns is not None):
                each.stopped_ns = now_ns if state == "T" else None
                yield self._change(pid, each, "stopped" if state == "T" else "continued", now_ns)
                each.heard_ns = now_ns  # what it said nothing in is no pause of its own
            if each.silent or each.left or each.last_step is None or each.stopped_ns is not None:
                continue
            if now_ns - each.heard_ns >= each.patience_ns():
                each.silent = True
                silent = self._change(pid, each, "silent", each.heard_ns)
                yield msgspec.structs.replace(silent, after=each.after, process_state=state)

    def of(self, pid: int) -> tuple[int, int | None] | None:
        """Rank and last Step of a process that attached."""
        each = self._followed.get(pid)
        return None if each is None else (each.rank, each.last_step)

    def forget(self, pid: int) -> None:
        """It has ended."""
        self._followed.pop(pid, None)

    def _change(
        self, pid: int, each: _Followed, event: Literal["stopped", "continued", "silent", "heard"], since_ns: int
    ) -> Change:
        return Change(pid=pid, rank=each.rank, event=event, last_step=each.last_step, since_ns=since_ns)
