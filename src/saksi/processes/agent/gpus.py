"""Which of the job's processes compute on a GPU, looked at on a thread of its own: a device that hangs holds nobody.

Only what changes is told: a process that came to a GPU or left it, and how many of others are on the same GPUs.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import Final

from saksi.edges.host.gpus import Gpus, GpuUse, open_gpus
from saksi.processes.agent.observations import Stamp
from saksi.processes.agent.observer import Seen
from saksi.words.records import GpuProcess, GpusRecord

__all__ = ["GpuWatch"]

LOOK_S: Final = 5.0
MAX_RECORDS: Final = 4_096


class GpuWatch:
    """The GPUs of one attempt. `news` belongs to the agent's one thread."""

    def __init__(self, open_them: Callable[[], Gpus | None] = open_gpus, *, every_s: float = LOOK_S) -> None:
        self._open = open_them
        self._every_s = every_s
        self._latest: tuple[GpuUse, ...] = ()
        self._told: tuple[frozenset[tuple[str, int]], int] = (frozenset(), 0)
        self._records = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, name="gpus", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """Look no more. A look that hangs is left behind."""
        self._over.set()

    def news(self, known: Iterable[Seen], stamp: Callable[[], Stamp]) -> GpusRecord | None:
        """A record, if something has changed; `known` are the job's processes."""
        uses = self._latest
        if not uses and not self._told[0]:
            return None
        by_pid = {each.facts.pid: each for each in known}
        ours = [each for each in uses if each.pid in by_pid]
        gpus = {each.gpu for each in ours}
        others = len({each.pid for each in uses if each.gpu in gpus and each.pid not in by_pid})
        now = frozenset((each.gpu, each.pid) for each in ours), others
        if now == self._told or self._records >= MAX_RECORDS:
            return None
        self._told, self._records = now, self._records + 1
        return GpusRecord(processes=[_process(each, by_pid[each.pid]) for each in ours], others=others, **stamp())

    def _look(self) -> None:
        gpus = self._open()
        while gpus is not None and not self._over.wait(self._every_s):
            self._latest = gpus.uses() or ()


def _process(use: GpuUse, seen: Seen) -> GpuProcess:
    return GpuProcess(
        gpu=use.gpu,
        pid=use.pid,
        started_ticks=seen.facts.started_ticks,
        used_bytes=use.used_bytes,
        witnessed=seen.attached or seen.forked,
    )
