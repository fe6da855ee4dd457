"""The embedded agent's one thread: it waits for whatever its attempt listens to, and lets it do what is due.

It ignores the signals that end a job (a cancelled job still deserves its last records); it is stopped by the end of
what it watches, never by the job's signals. It serves one attempt: as that closes, nobody else waits.
"""

from __future__ import annotations

import contextlib
import resource
import selectors
import signal
from types import FrameType
from typing import Final

from saksi.edges.host.self_protection import leave_the_signal_stack
from saksi.processes.agent.attempt import WatchedAttempt

__all__ = ["ignore_the_jobs_signals", "raise_file_limit", "serve"]

TICK_S: Final = 0.1


def serve(attempt: WatchedAttempt) -> None:
    """Watch `attempt` until it is over, and close it."""
    attempt.begin()
    raise_file_limit()
    with selectors.DefaultSelector() as selector:
        selector.register(attempt, selectors.EVENT_READ)
        while not attempt.is_over():
            if selector.select(timeout=TICK_S):
                attempt.react()
            attempt.tick()
        selector.unregister(attempt)
    attempt.close()


def raise_file_limit() -> None:
    """As many open files as we may have: each recorder is one, and the log needs some."""
    with contextlib.suppress(OSError, ValueError):
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def ignore_the_jobs_signals() -> None:
    """What ends the job must not end its witness. The commands that it starts hear signals as any other does."""
    leave_the_signal_stack()  # where it is refused there is none, or the signals come one by one as a rule
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(each, _do_nothing)  # `SIG_IGN` would be handed on: `timeout 5 COMMAND` could end nothing
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _do_nothing(_number: int, _frame: FrameType | None) -> None:
    return
