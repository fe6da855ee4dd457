"""The pace of the processes that train: the last Step of each, who fell silent, who was stopped.

A process that made updates is silent if it says nothing for `SILENT_NS`, or for ten of its usual steps if these are
longer. Evaluation and saving take time too: silence is an observation. A stop (state T) is seen at the next look;
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
REMEMBERED: Final = 31
MAX_FOLLOWED: Final = 4_096
StateOf = Callable[[int], str | None]


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """Something changed about a process that trains. `since_ns` is when, by the monotonic clock."""

    pid: int
    rank: int
    event: Literal["stopped", "continued", "silent", "heard"]
    last_step: int | None
    since_ns: int


class _Followed:
    __slots__ = ("heard_ns", "last_step", "left", "rank", "silent", "stopped_ns", "took", "update_ns")

    def __init__(self) -> None:
        self.rank = 0
        self.heard_ns = 0
        self.last_step: int | None = None
        self.update_ns: int | None = None
        self.took: deque[int] = deque(maxlen=REMEMBERED)
        self.left = False
        self.silent = False
        self.stopped_ns: int | None = None


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
        each.heard_ns = now_ns
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
            if each.silent or each.left or each.last_step is None or each.stopped_ns is not None:
                continue
            if now_ns - each.heard_ns >= max(SILENT_NS, USUAL_STEPS * (statistics.median(each.took or [0]))):
                each.silent = True
                yield self._change(pid, each, "silent", each.heard_ns)

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
