"""What the launcher of one attempt says of its job, heard in order and within bounds.

It runs under the job's account, so it may say anything: a message that cannot be read, or that cannot follow what was
said before, ends its connection, and the record says so. From then on it counts as gone, and the job goes on.
"""

from __future__ import annotations

import select
import selectors
import socket
from collections import Counter
from collections.abc import Callable
from typing import Final

import msgspec

from saksi.processes.agent.control import (
    FromLauncher,
    JobExited,
    JobStarted,
    OrphanEnded,
    SignalSeen,
    receive_from_launcher,
)
from saksi.processes.agent.job import Job
from saksi.processes.agent.observations import printable
from saksi.processes.agent.outside import Outside
from saksi.processes.agent.scribe import Scribe
from saksi.words.errors import MalformedInput
from saksi.words.records import GapRecord, SignalRecord

__all__ = ["Launcher"]

MAX_SIGNALS: Final = 1_024
"""Signals that are written down; those after them are counted. A launcher holds eight kinds back for its job."""
MAX_AT_ONCE: Final = 512
"""Messages that are taken at one time: more than a socket of the usual size has room for, but not without end."""
MAX_AT_THE_END: Final = 1_024
"""Messages that are taken once nothing comes behind them, also from a socket that somebody gave more room."""
MAX_SIGNALS_OF_ONE: Final = 256
"""Of them, how many of one kind: a timer's must not leave the one out that ended the job."""


class Launcher:
    """One launcher's connection. Owned by the agent's one thread.

    `seen_from_here` gives a job its process id as the agent sees it, where `shares_pids` is false: other ids that such
    a launcher tells mean nothing here.
    """

    def __init__(
        self,
        control: socket.socket,
        *,
        selector: selectors.BaseSelector,
        scribe: Scribe,
        job: Job,
        outside: Outside,
        seen_from_here: Callable[[JobStarted], JobStarted],
        shares_pids: bool,
    ) -> None:
        self._control = control
        self._selector = selector
        self._scribe = scribe
        self._job = job
        self._outside = outside
        self._seen_from_here = seen_from_here
        self._shares_pids = shares_pids
        self._signals: Counter[str] = Counter()
        self._left_out = 0
        self.is_here = False

    def listen(self) -> None:
        """Hear it from now on."""
        self._selector.register(self._control, selectors.EVENT_READ, self.hear)
        self.is_here = True

    def hear(self) -> None:
        """Take one message that has arrived, or that it is gone."""
        try:
            message = receive_from_launcher(self._control)
            if message is not None:
                self._take(message)
                return
        except MalformedInput as error:
            self._write_gap(f"what the launcher said cannot be read, and it is not heard any more: {error}")
            self._leave()
            self._control.close()
        else:
            self._leave()

    def hear_out(self, most: int = MAX_AT_ONCE) -> None:
        """Take what it has said and nobody heard, so that a signal stands before the end that it brought about."""
        for _ in range(most):
            if not self.is_here or not self._has_said():
                break
            self.hear()

    def close(self) -> None:
        """Hear it out, and write down how much of all that was not written."""
        self.hear_out(MAX_AT_THE_END)
        if self._left_out:
            self._write_gap(f"{self._left_out} more signals reached the launcher than are written down one by one")

    def _has_said(self) -> bool:
        waiting = select.poll()  # `select` knows no number of a file above 1,023
        waiting.register(self._control, select.POLLIN)
        return bool(waiting.poll(0))

    def _leave(self) -> None:
        self._selector.unregister(self._control)
        self.is_here = False
        self._job.launcher_left()

    def _take(self, message: FromLauncher) -> None:
        if isinstance(message, JobStarted):
            self._require(self._job.started is None and self._job.stopped is None, "the job started already")
            self._start(self._seen_from_here(message))
        elif isinstance(message, SignalSeen):
            self._signal(message)
        elif isinstance(message, JobExited):
            self._require(self._job.started is not None and self._job.exited is None, "no job of it runs")
            self._exit(message)
        elif isinstance(message, OrphanEnded):
            if self._shares_pids:
                self._outside.told(message.pid, message.status)
        else:
            self._require(self._job.started is None, "the job started already")
            self._job.stop(message.reason)

    def _require(self, fits: bool, reason: str) -> None:  # noqa: FBT001 - a condition
        if not fits:
            raise MalformedInput("control message", reason)

    def _start(self, started: JobStarted) -> None:
        if started.pid:
            self._outside.follow(started.pid)
        self._job.start(started)

    def _exit(self, exited: JobExited) -> None:
        self._job.end(exited)
        if self._job.started is not None and self._job.started.pid:
            status = (exited.code or 0) << 8 if exited.signal is None else exited.signal
            self._outside.told(self._job.started.pid, status)

    def _signal(self, seen: SignalSeen) -> None:
        if self._signals.total() >= MAX_SIGNALS or self._signals[seen.signal] >= MAX_SIGNALS_OF_ONE:
            self._left_out += 1
            return
        self._signals[seen.signal] += 1
        sender = seen.sender
        if sender is not None and not self._shares_pids:
            sender = msgspec.structs.replace(sender, pid=0)  # as the kernel does for a process that is not visible
        record = SignalRecord(signal=seen.signal, forwarded=seen.forwarded, sender=sender, **self._scribe.stamp())
        self._scribe.write(record)

    def _write_gap(self, reason: str) -> None:
        self._scribe.write(GapRecord(reason=printable(reason)[:1024], since_wall_ns=None, **self._scribe.stamp()))
