"""What is seen of the job from outside it, as records: who is there, who ended and how, who stopped or fell silent."""

from __future__ import annotations

import os
import selectors
from collections.abc import Callable
from typing import Final

from saksi.edges.clock import Clock
from saksi.edges.host.endings import resource_limits
from saksi.edges.host.procfs import read_process
from saksi.processes.agent.connection import Connection
from saksi.processes.agent.endings import Endings
from saksi.processes.agent.gpus import GpuWatch
from saksi.processes.agent.observations import ended_record, process_record, state_record
from saksi.processes.agent.observer import Observer, Seen
from saksi.processes.agent.pace import Change, Pace
from saksi.processes.agent.scribe import Scribe
from saksi.words.frames import AnyFrame
from saksi.words.records import ProcessRecord

__all__ = ["Outside"]

TOLD_NS: Final = 1_000_000_000
"""How long the launcher may take to say how an orphan ended, or that a signal reached it as well."""
SIGKILL: Final = 9
_PASSED_ON: Final = frozenset({1, 2, 3, 10, 12, 14, 15})
"""Signals that a launcher keeps for its job: one to a whole group may end a process before the launcher tells of it."""


class Outside:
    """The outside view of one attempt. Owned by the agent's one thread."""

    def __init__(
        self,
        launcher: int,
        *,
        clock: Clock,
        scribe: Scribe,
        selector: selectors.BaseSelector,
        redact: Callable[[tuple[str, ...]], list[str]],
    ) -> None:
        self._launcher = launcher
        self._clock = clock
        self._scribe = scribe
        self._redact = redact
        self._observer = Observer(launcher, without=frozenset({os.getpid()}))
        self._endings = Endings(selector)
        self._pace = Pace()
        self._gpus = GpuWatch()
        self._gpus.start()
        self._leaving: list[tuple[int, Seen]] = []
        self._talking: dict[int, Connection] = {}

    @property
    def left_out(self) -> int:
        """Processes that were seen and not written down."""
        return self._observer.left_out

    def alive(self) -> frozenset[int]:
        """The job's processes that exist now."""
        return self._observer.alive()

    def recall(self, records: tuple[ProcessRecord, ...]) -> None:
        """What the agent before this one wrote down."""
        self._observer.recall(records, self._clock.mono_ns())
        for seen in self._observer.known():
            self._endings.watch(seen)

    def follow(self, pid: int) -> None:
        """Watch the command, also when it is no longer a descendant of the launcher."""
        self._observer.follow(pid)

    def told(self, pid: int, status: int) -> None:
        """The launcher says how an orphan ended."""
        self._endings.told(pid, status)

    def heard(self, connection: Connection, frame: AnyFrame) -> str | None:
        """A frame came in; the executable of a process that was heard for the first time."""
        now = self._clock.mono_ns()
        executable = None
        if connection.frames == 1:
            self._talking[connection.number] = connection
            seen = self._observer.attached(connection.peer.pid, now)
            if seen is not None:
                seen.recorded = True
                executable = seen.facts.executable
                self._write("seen", seen)
        for change in self._pace.heard(connection, frame, now):
            self._write_change(change)
        return executable

    def look(self, hear_out: Callable[[], None] = lambda: None) -> None:
        """Look at every process of the job; before it is written how one ended, `hear_out` hears what led to it."""
        now = self._clock.mono_ns()
        for event, seen in self._observer.look(now):
            self._write(event, seen)
        for change in self._pace.look(now, self._observer.state_of):
            self._write_change(change)
        on_gpus = self._gpus.news(self._observer.known(), self._scribe.stamp)
        if on_gpus is not None:
            self._scribe.write(on_gpus)
        if self._leaving:
            hear_out()
        self._write_ended(now)

    def close(self) -> None:
        """The last look. What is not known about an end by now is left out."""
        now = self._clock.mono_ns()
        for event, seen in self._observer.close(now):
            self._write(event, seen)
        self._write_ended(now + TOLD_NS)

    def let_go(self) -> None:
        """Close what is open."""
        self._endings.close()
        self._gpus.stop()

    def _write(self, event: str, seen: Seen) -> None:
        if event == "ended":
            self._leaving.append((self._clock.mono_ns() + TOLD_NS, seen))
            return
        self._endings.watch(seen)
        limits = resource_limits(seen.facts.pid)
        self._scribe.write(process_record(seen, self._redact(seen.facts.command), limits, self._scribe.stamp()))

    def _write_ended(self, now_ns: int) -> None:
        # Who ended first matters to the reader: launchers end the other ranks at once, within one look.
        self._talking = {number: each for number, each in self._talking.items() if each.is_open}
        waiting, self._leaving = sorted(self._leaving, key=lambda each: self._endings.order(each[1])), []
        for at, (due, seen) in enumerate(waiting):
            ending = self._endings.of(seen)
            if now_ns < due and (ending is None or ending.signal in _PASSED_ON or self._is_unread(seen)):
                self._leaving = waiting[at:]
                return
            killed = ending is not None and ending.signal == SIGKILL
            memory = self._endings.killed_for_memory(seen) if killed else None
            trained = self._pace.of(seen.facts.pid)
            command = self._redact(seen.facts.command)
            stamp = self._scribe.stamp()
            record = ended_record(seen, command, ending, stamp, killed_for_memory=memory, trained=trained)
            self._scribe.write(record)
            self._endings.forget(seen)
            self._pace.forget(seen.facts.pid)

    def _is_unread(self, seen: Seen) -> bool:
        """Whether there may be frames of it that nobody has read: how far it came would be said wrongly."""
        return any(each.peer.pid == seen.facts.pid for each in self._talking.values())

    def _write_change(self, change: Change) -> None:
        launcher = read_process(self._launcher)
        whole = launcher is not None and launcher.state == "T"
        stamp = self._scribe.stamp()
        since = max(0, stamp["wall_ns"] - (stamp["mono_ns"] - change.since_ns))
        self._scribe.write(state_record(change, since, stamp, launcher_stopped=whole))
