"""The agent's one thread: it waits for whatever its attempts listen to, and lets each do what is due.

It ignores the signals that end a job (a cancelled job still deserves its last records); it is stopped by the end of
what it watches, never by the job's signals.

Known weakness: an attempt that is closed waits for its last files, and for that time nobody else is served.
"""

from __future__ import annotations

import contextlib
import resource
import selectors
import signal
from typing import Final

from saksi.processes.agent.attempt import WatchedAttempt

__all__ = ["Service", "ignore_the_jobs_signals", "raise_file_limit"]

TICK_S: Final = 0.1


class Service:
    """The agent's loop over its attempts. `run` returns when each of them is closed."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._attempts: list[WatchedAttempt] = []

    def watch(self, attempt: WatchedAttempt) -> None:
        """Serve `attempt` from now on."""
        attempt.begin()
        self._selector.register(attempt, selectors.EVENT_READ, attempt)
        self._attempts.append(attempt)

    def run(self) -> None:
        """Serve the attempts until the last of them is over, and close each that is."""
        raise_file_limit()
        while self._close_what_is_over():
            for key, _ in self._selector.select(timeout=TICK_S):
                key.data.react()
            for attempt in self._attempts:
                attempt.tick()
        self._selector.close()

    def _close_what_is_over(self) -> bool:
        """Whether an attempt is left."""
        for attempt in [each for each in self._attempts if each.is_over()]:
            self._selector.unregister(attempt)
            self._attempts.remove(attempt)
            attempt.close()
        return bool(self._attempts)


def raise_file_limit() -> None:
    """As many open files as we may have: each recorder is one, and the log needs some."""
    with contextlib.suppress(OSError, ValueError):
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def ignore_the_jobs_signals() -> None:
    """What ends the job must not end its witness."""
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(each, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
