"""The running agent, as the launcher sees it: what it is told, and who takes its place when it dies.

The launcher is the agent's parent, so the kernel tells it how the agent ended. It forks the next one: the same run,
attempt, token and listening socket (the launcher holds it, so that recorders find it open meanwhile), another key.
Nothing here waits while the command runs. An agent is started again at most `len(DELAYS_S)` times in a row; one that
lasted `LASTED_S` begins the count anew.
"""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import socket
import time
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from saksi.doors.launch.child import interrupted
from saksi.edges.clock import Clock
from saksi.edges.host.procfs import read_process
from saksi.judgement.seal import Seal
from saksi.processes.agent.closing import LAST_WORD_S
from saksi.processes.agent.control import (
    MAX_UNHEARD,
    Closed,
    FromLauncher,
    JobExited,
    JobStarted,
    Ready,
    Stop,
    receive_from_agent,
    send,
)
from saksi.processes.agent.embedded import EmbeddedSetup, start_embedded
from saksi.processes.agent.takeover import Dead
from saksi.words.errors import MalformedInput

__all__ = ["Forked", "RunningAgent"]

CLOSE_S: Final = LAST_WORD_S
STOPPED_S: Final = 5.0
"""At the end: how long an agent that somebody stopped is waited for, after it was told to continue."""
DELAYS_S: Final = (0.0, 0.2, 1.0, 3.0, 10.0)
LASTED_S: Final = 600.0


class Forked(msgspec.Struct, frozen=True, kw_only=True):
    """An agent that was forked: its process id, and our end of the pair."""

    pid: int
    control: socket.socket


class RunningAgent:
    """A running agent, and what the command's environment must have for the recorder to find it."""

    def __init__(
        self,
        setup: EmbeddedSetup,
        agent: Forked,
        *,
        sealed: Seal,
        clock: Clock,
        listener: socket.socket,
        added: Mapping[str, str],
        scratch: Path,
    ) -> None:
        self.run = setup.run
        self.attempt = setup.attempt
        self.sealed = sealed
        self.added = dict(added)
        self._setup = setup
        self._agent: Forked | None = agent
        self._clock = clock
        self._listener = listener
        self._scratch = scratch
        self._begun = time.monotonic()
        self._due = 0.0
        self._in_a_row = 0
        self._deaths = 0
        self._ended_how = ""
        self._problem: str | None = None
        self._said: str | None = None  # the agent's last word
        self._started: JobStarted | None = None  # each agent hears it once, before everything else
        self._heard_of_start = False
        self._unheard: deque[FromLauncher] = deque(maxlen=MAX_UNHEARD)
        self._over: JobExited | Stop | None = None  # each agent hears it once, after everything else
        self._heard_of_end = False

    def tell(self, message: FromLauncher) -> None:
        """Say something to the agent; if it has no room for it, later, and if there is none, to the next one.

        How the job began and ended is said to each agent: one that is being killed still takes what it never reads.
        """
        if isinstance(message, JobStarted):
            self._started = message
        elif isinstance(message, JobExited | Stop):
            self._over = message
        else:
            self._unheard.append(message)
        self._flush()

    def reaped(self, pid: int, status: int) -> bool:
        """Whether this child of the launcher, which ended, was the agent: another one is due then."""
        if self._agent is None or pid != self._agent.pid:
            return False
        self._hear()  # why it could not begin, if it said so
        self._agent.control.close()
        self._agent = None
        if self._said is not None:
            return True
        code = os.waitstatus_to_exitcode(status)
        self._ended_how = f"by {_signal_name(-code)}" if code < 0 else f"with code {code}"
        now = time.monotonic()
        if now - self._begun >= LASTED_S:
            self._in_a_row = 0
        self._deaths += 1
        self._due = now + DELAYS_S[min(self._in_a_row, len(DELAYS_S) - 1)]
        return True

    def tend(self) -> float | None:
        """Start the next agent if it is time; in how many seconds to ask again, `None` if there is no need."""
        if self._agent is not None:
            self._hear()
            self._flush()
            return None
        if self._said is not None or self._gave_up():
            return None
        if time.monotonic() >= self._due:
            self._start_next()
            return None
        return max(0.01, self._due - time.monotonic())

    def close(self) -> str | None:
        """Wait for the agent's last word; `None` if it does not come, or a signal says not to wait.

        An agent that lives goes on alone in that case, and closes the log.
        """
        deadline = time.monotonic() + CLOSE_S
        stopped_until: float | None = None
        while self._said is None and time.monotonic() < deadline and interrupted() is None:
            if self._agent is None:
                if self._gave_up():
                    break
                self._start_next()
                continue
            self._flush()
            if select.select([self._agent.control], [], [], 0.1)[0]:
                self._hear()
            elif self._is_stopped():
                if stopped_until is None:
                    stopped_until = time.monotonic() + STOPPED_S
                    self._continue()
                elif time.monotonic() >= stopped_until:
                    break
            self._reap()
        if self._agent is not None:
            self._agent.control.close()
        self._listener.close()
        shutil.rmtree(self._scratch, ignore_errors=True)
        return self._said

    def left_unsaid(self) -> str:
        """Why there was no last word, for the launcher's last line."""
        if self._agent is not None:
            return "the agent is stopped" if self._is_stopped() else "the agent has not closed the record yet"
        times = "once" if self._deaths == 1 else f"{self._deaths} times"
        why = "" if self._problem is None else f", {self._problem}"
        return f"the agent is gone: it ended {times}, at last {self._ended_how}{why}"

    def _gave_up(self) -> bool:
        # Without its folder there is nothing to go on with: it was moved home, or somebody removed it.
        return self._in_a_row >= len(DELAYS_S) or not self._setup.folder.exists()

    def _start_next(self) -> None:
        """Fork the next agent. Does not wait for it: it says `Ready`, or ends and is reaped."""
        self._in_a_row += 1
        self._begun = time.monotonic()
        last_head = None if self._setup.last_head is None else self._setup.last_head.note()
        dead = Dead(reason=f"the agent ended {self._ended_how}, and another was started", last_head=last_head)
        setup = msgspec.structs.replace(self._setup, takes_over=dead, notes=())
        try:
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            with theirs:
                pid = start_embedded(setup, clock=self._clock, listener=self._listener, theirs=theirs, ours=ours)
        except OSError as error:  # no process, no memory, no file: later, perhaps
            self._problem = f"and another cannot be started: {error.strerror}"
            self._due = self._begun + DELAYS_S[min(self._in_a_row, len(DELAYS_S) - 1)]
            return
        self._agent = Forked(pid=pid, control=ours)
        self._problem = None
        self._heard_of_start = self._heard_of_end = False
        self._flush()

    def _flush(self) -> None:
        """Say what was not said yet, in order, as far as the agent has room for it."""
        if self._agent is None:
            return
        if self._started is not None and not self._heard_of_start:
            self._heard_of_start = send(self._agent.control, self._started)
            if not self._heard_of_start:
                return
        while self._unheard and send(self._agent.control, self._unheard[0]):
            self._unheard.popleft()
        if self._over is not None and not self._unheard and not self._heard_of_end:
            self._heard_of_end = send(self._agent.control, self._over)

    def _hear(self) -> None:
        """What the agent says, without waiting."""
        while self._agent is not None and select.select([self._agent.control], [], [], 0)[0]:
            try:
                answer = receive_from_agent(self._agent.control)
            except MalformedInput:
                return
            if isinstance(answer, Closed):
                self._said = answer.sentence
            if not isinstance(answer, Ready):
                return
            if answer.problem is not None:
                self._problem = f"and the record cannot be continued: {answer.problem}"

    def _reap(self) -> None:
        if self._agent is None:
            return
        with contextlib.suppress(ChildProcessError):
            pid, status = os.waitpid(self._agent.pid, os.WNOHANG)
            if pid:
                self.reaped(pid, status)
            return
        self.reaped(self._agent.pid, 1 << 8)  # somebody else took its status

    def _is_stopped(self) -> bool:
        facts = None if self._agent is None else read_process(self._agent.pid)
        return facts is not None and facts.state == "T"

    def _continue(self) -> None:
        if self._agent is not None:
            with contextlib.suppress(OSError):
                os.kill(self._agent.pid, signal.SIGCONT)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
