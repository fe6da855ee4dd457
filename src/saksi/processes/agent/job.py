"""The job's own process: it runs, or it is gone. That it is gone the kernel says; how it ended only the launcher can.

The kernel says it by a pidfd, so that it is heard also when the launcher is gone; where the kernel has none, the
process is looked for in /proc.
"""

from __future__ import annotations

import os
import selectors

from saksi.edges.clock import Clock
from saksi.edges.host.endings import open_pidfd
from saksi.edges.host.procfs import read_process
from saksi.processes.agent.control import JobExited, JobStarted

__all__ = ["Job"]


class Job:
    """One job. `exited` is how it ended, where the launcher could tell; `stopped` is why there will be none."""

    def __init__(self, *, clock: Clock, selector: selectors.BaseSelector) -> None:
        self._clock = clock
        self._selector = selector
        self._pidfd: int | None = None
        self._polled: tuple[int, int] | None = None  # pid and start of the job, where there is no pidfd
        self.started: JobStarted | None = None
        self.exited: JobExited | None = None
        self.stopped: str | None = None
        self._gone_ns: int | None = None
        self._unseen = False  # it runs where we see no processes: only the launcher can tell

    def start(self, started: JobStarted) -> None:
        """The launcher says that it runs: watch it. Process id 0 is one that is not seen from here."""
        self.started = started
        if started.pid == 0:
            self._unseen = True
            return
        try:
            self._pidfd = open_pidfd(started.pid)
        except ProcessLookupError:  # it has ended already, and its status was taken: the launcher may still tell it
            self._gone()
        except OSError:  # a kernel older than 5.3, or a sandbox: look for it instead
            facts = read_process(started.pid)
            if facts is None:
                self._gone()
            else:
                self._polled = (started.pid, facts.started_ticks)
        else:
            self._selector.register(self._pidfd, selectors.EVENT_READ, self._gone)

    def end(self, exited: JobExited) -> None:
        """The launcher says how it ended."""
        self.exited = exited
        self._gone_ns = self._clock.mono_ns()

    def stop(self, reason: str) -> None:
        """It never started: nothing more is to be waited for."""
        self.stopped = reason

    def launcher_left(self) -> None:
        """The launcher is gone. A job that runs goes on; one that was not started never will be."""
        if self.started is None and self.stopped is None:
            self.stop("the launcher ended before the job started")
        elif self._unseen:
            self._gone()

    def look(self) -> None:
        """Look for it, where nothing wakes us when it is gone."""
        if self._polled is None:
            return
        pid, started_ticks = self._polled
        facts = read_process(pid)
        if facts is None or facts.started_ticks != started_ticks or facts.state in "ZX":
            self._polled = None
            self._gone()

    def waited_ns(self) -> int | None:
        """How long it has been gone; `None` while it runs, or has not begun."""
        return None if self._gone_ns is None else self._clock.mono_ns() - self._gone_ns

    def reason(self) -> str:
        """Why it is over, in words."""
        if self.stopped is not None:
            return self.stopped
        return "the job ended" if self.exited else "the job ended after the launcher; its status is not known"

    def elapsed_ns(self) -> int:
        """How long it ran: in the launcher's words, or until now."""
        if self.exited is not None:
            return self.exited.elapsed_ns
        if self.started is None:
            return 0
        return max(0, self._clock.mono_ns() - self.started.mono_ns)  # when it began is the launcher's word

    def close(self) -> None:
        """Let go of the process, whose selector is closed."""
        if self._pidfd is not None:
            os.close(self._pidfd)
            self._pidfd = None

    def _gone(self) -> None:
        if self._pidfd is not None:
            self._selector.unregister(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = None
        if self._gone_ns is None:
            self._gone_ns = self._clock.mono_ns()
