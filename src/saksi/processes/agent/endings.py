"""How the job's processes end: asked of the kernel in the moment in which they do, or told by the launcher.

A pidfd is readable once its process has ended; then its status is there to be read, for as long as its parent leaves
it, and on new kernels afterwards. Orphans become the launcher's children, and it tells their status. What nobody tells
is not known, and the record then says so by leaving it out.
"""

from __future__ import annotations

import os
import selectors
from collections import OrderedDict
from functools import partial
from pathlib import Path
from typing import Final

from saksi.edges.host.endings import Ending, count_in, ending_of, ending_of_status, oom_kills, open_pidfd
from saksi.processes.agent.observer import Seen

__all__ = ["Endings"]

MAX_WATCHED: Final = 1_024
"""Processes whose end wakes us; that of others is seen at the next look."""
MAX_TOLD: Final = 4_096
_Key = tuple[int, int]


class Endings:
    """The ends of processes that are watched. Owned by the agent's one thread."""

    def __init__(self, selector: selectors.BaseSelector) -> None:
        self._selector = selector
        self._pidfds: dict[_Key, int] = {}
        self._listening: set[int] = set()
        self._order: dict[_Key, int] = {}
        self._ended = 0
        self._known: OrderedDict[_Key, Ending] = OrderedDict()
        self._told: OrderedDict[int, Ending] = OrderedDict()
        self._counters: dict[Path, int] = {}
        self._counted_in: dict[_Key, Path] = {}

    def watch(self, seen: Seen) -> None:
        """Be woken by the end of this process."""
        key = _key(seen)
        if key in self._pidfds or len(self._pidfds) >= MAX_WATCHED:
            return
        try:
            pidfd = open_pidfd(seen.facts.pid)
        except OSError:
            return
        self._pidfds[key] = pidfd
        self._selector.register(pidfd, selectors.EVENT_READ, partial(self._gone, key))
        self._listening.add(pidfd)
        counter = oom_kills(seen.facts.pid)
        if counter is not None:
            self._counted_in[key] = counter[0]
            self._counters.setdefault(*counter)

    def told(self, pid: int, status: int) -> None:
        """The launcher says how a process that had become its child ended."""
        self._told[pid] = ending_of_status(status, "launcher")
        while len(self._told) > MAX_TOLD:
            self._told.popitem(last=False)

    def of(self, seen: Seen) -> Ending | None:
        """How this process ended, if that is known by now."""
        key = _key(seen)
        if key not in self._known:
            ending = ending_of(*key, self._pidfds.get(key)) or self._told.pop(seen.facts.pid, None)
            if ending is None:
                return None
            self._known[key] = ending
        return self._known[key]

    def order(self, seen: Seen) -> int:
        """Ends that woke us have the order in which they did; the others stand behind all that did."""
        return self._order.get(_key(seen), self._ended)

    def killed_for_memory(self, seen: Seen) -> int | None:
        """What the kernel killed in its cgroup for want of memory since this was last asked; `None` if not known."""
        file = self._counted_in.get(_key(seen))
        now = None if file is None else count_in(file)
        if file is None or now is None:
            return None
        before, self._counters[file] = self._counters[file], now
        return max(0, now - before)

    def forget(self, seen: Seen) -> None:
        """Nothing more is asked about this process."""
        key = _key(seen)
        self._known.pop(key, None)
        self._order.pop(key, None)
        self._counted_in.pop(key, None)
        pidfd = self._pidfds.pop(key, None)
        if pidfd is not None:
            self._hush(pidfd)
            os.close(pidfd)

    def close(self) -> None:
        """Let go of all; the selector is closed by whoever has it."""
        for pidfd in self._pidfds.values():
            os.close(pidfd)
        self._pidfds.clear()

    def _gone(self, key: _Key) -> None:
        pidfd = self._pidfds[key]
        self._hush(pidfd)
        self._order[key] = self._ended
        self._ended += 1
        ending = ending_of(*key, pidfd)
        if ending is not None:
            self._known[key] = ending

    def _hush(self, pidfd: int) -> None:
        if pidfd in self._listening:
            self._listening.remove(pidfd)
            self._selector.unregister(pidfd)


def _key(seen: Seen) -> _Key:
    return seen.facts.pid, seen.facts.started_ticks
