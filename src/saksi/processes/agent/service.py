"""The embedded agent: one attempt, one thread, in a process of its own that the launcher forked.

It ends when the job has ended and everything that was said is in the log. It ignores the signals that end a job
(a cancelled job still deserves its last records); it is stopped by the job's end, never by the job's signals.

If the launcher dies first, the job goes on and so does the agent: it holds a pidfd of the job.
"""

from __future__ import annotations

import os
import selectors
import signal
import socket
from collections.abc import Callable
from typing import Final

import msgspec

from saksi.edges.clock import Clock
from saksi.processes.agent.anchors import AnchorWorker
from saksi.processes.agent.ckpt_files import CkptFiles
from saksi.processes.agent.connection import Connection
from saksi.processes.agent.control import (
    JobExited,
    JobStarted,
    SignalSeen,
    Stop,
    receive_from_launcher,
)
from saksi.processes.agent.intake import Intake
from saksi.processes.agent.observer import Observer, Seen
from saksi.processes.agent.scribe import Scribe
from saksi.words.frames import AnyFrame, CkptFrame, EnvironmentFrame
from saksi.words.records import AnchorRecord, ExitRecord, FileRecord, GapRecord, ProcessRecord, SignalRecord

__all__ = ["Service", "ServiceSetup", "ignore_the_jobs_signals"]

LOOK_NS: Final = 250_000_000
COMMIT_NS: Final = 1_000_000_000
COMMIT_AT: Final = 256
PUBLISH_NS: Final = 60_000_000_000
RETRY_NS: Final = 5_000_000_000
LAST_WORDS_NS: Final = 3_000_000_000
"""After the job's end: how long connected processes may still talk before the log is closed."""
FILES_NS: Final = 60_000_000_000
"""After the job's end: how long model checkpoints may still be hashed."""


class ServiceSetup(msgspec.Struct, frozen=True, kw_only=True):
    """What one attempt's agent is given."""

    launcher: int
    account: int
    token: str
    redact: Callable[[tuple[str, ...]], list[str]]
    anchors: tuple[AnchorWorker, ...] = ()
    notes: tuple[str, ...] = ()


class Service:
    """The agent's loop. `run` returns when the attempt is closed."""

    def __init__(
        self, setup: ServiceSetup, *, clock: Clock, scribe: Scribe, listener: socket.socket, control: socket.socket
    ) -> None:
        self._setup = setup
        self._clock = clock
        self._scribe = scribe
        self._control = control
        self._selector = selectors.DefaultSelector()
        self._observer = Observer(setup.launcher, without=frozenset({os.getpid()}))
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_read, False)
        os.set_blocking(self._wake_write, False)
        self._files = CkptFiles(self._wake)
        self._intake = Intake(
            listener,
            token=setup.token,
            account=setup.account,
            clock=clock,
            scribe=scribe,
            selector=self._selector,
            heard=self._heard,
        )
        self._job: JobStarted | None = None
        self._exited: JobExited | None = None
        self._stopped: Stop | None = None
        self._job_gone_ns: int | None = None
        self._pidfd: int | None = None
        self._due: dict[str, int] = {}
        self._anchored: bytes | None = None
        self.sources: set[str] = set()
        self.interpreter: str | None = None

    def run(self) -> None:
        """Watch until the job has ended, then close the log."""
        for note in self._setup.notes:
            self._scribe.write(GapRecord(reason=note, since_wall_ns=None, **self._scribe.stamp()))
        self._selector.register(self._control, selectors.EVENT_READ, self._from_launcher)
        self._selector.register(self._wake_read, selectors.EVENT_READ, self._woken)
        while not self._is_over():
            for key, _ in self._selector.select(timeout=0.1):
                key.data()
            self._periodically()
        self._close()

    # -- what arrives

    def _from_launcher(self) -> None:
        message = receive_from_launcher(self._control)
        if message is None:
            self._selector.unregister(self._control)
            if self._job is None and self._stopped is None:
                self._stopped = Stop(reason="the launcher ended before the job started")
        elif isinstance(message, JobStarted):
            self._start(message)
        elif isinstance(message, SignalSeen):
            record = SignalRecord(
                signal=message.signal, forwarded=message.forwarded, sender=message.sender, **self._scribe.stamp()
            )
            self._scribe.write(record)
        elif isinstance(message, JobExited):
            self._exited = message
            self._job_gone_ns = self._clock.mono_ns()
        else:
            self._stopped = message

    def _start(self, job: JobStarted) -> None:
        self._job = job
        self._observer.follow(job.pid)
        try:
            self._pidfd = os.pidfd_open(job.pid)
        except OSError:  # it has ended already, or the kernel is older than 5.3: the launcher says when it ends
            return
        self._selector.register(self._pidfd, selectors.EVENT_READ, self._job_ended)

    def _job_ended(self) -> None:
        """The kernel says that the job is gone; its status only the launcher can tell."""
        if self._pidfd is not None:
            self._selector.unregister(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = None
        if self._job_gone_ns is None:
            self._job_gone_ns = self._clock.mono_ns()

    def _heard(self, connection: Connection, frame: AnyFrame) -> None:
        if connection.frames == 1:
            seen = self._observer.attached(connection.peer.pid, self._clock.mono_ns())
            if seen is not None:
                seen.recorded = True
                self.interpreter = seen.facts.executable or self.interpreter
                self._write_process("seen", seen)
        if isinstance(frame, CkptFrame):
            self._intake.store_block(connection)  # what led to the file stands in the log before the file
            self._files.give(connection.number, connection.rank, frame)
        elif isinstance(frame, EnvironmentFrame):
            self.sources.update(path for _, path in frame.modules if path.endswith(".py"))

    def _wake(self) -> None:
        try:
            os.write(self._wake_write, b"!")
        except OSError:
            return

    def _woken(self) -> None:
        try:
            os.read(self._wake_read, 4096)
        except OSError:
            return
        self._write_files()

    # -- what is done now and then

    def _is_due(self, what: str, every_ns: int) -> bool:
        now = self._clock.mono_ns()
        if now < self._due.get(what, 0):
            return False
        self._due[what] = now + every_ns
        return True

    def _periodically(self) -> None:
        if self._job is not None and self._is_due("look", LOOK_NS):
            for event, seen in self._observer.look(self._clock.mono_ns()):
                self._write_process(event, seen)
        self._intake.flush()
        pressing = self._scribe.waiting >= COMMIT_AT and self._scribe.problem is None
        if pressing or self._is_due("commit", COMMIT_NS if self._scribe.problem is None else RETRY_NS):
            self._commit()
        if self._is_due("publish", PUBLISH_NS):
            self._scribe.publish()

    def _commit(self) -> bool:
        committed = self._scribe.commit()
        head, note = self._scribe.head, self._scribe.head_note
        if committed and head is not None and note is not None and note != self._anchored:
            for worker in self._setup.anchors:
                worker.offer(head.size, note)
            self._anchored = note
        self._scribe.write_findings()
        return committed

    def _is_over(self) -> bool:
        if self._stopped is not None:
            return True
        if self._job_gone_ns is None:
            return False
        waited = self._clock.mono_ns() - self._job_gone_ns
        if self._exited is None and self._control_is_open() and waited < LAST_WORDS_NS:
            return False  # the launcher is about to tell the status
        if self._intake.open_connections and waited < LAST_WORDS_NS:
            return False
        return not (self._files.pending and waited < FILES_NS)

    def _control_is_open(self) -> bool:
        return self._control in self._selector.get_map()

    # -- the end

    def _close(self) -> None:
        for event, seen in self._observer.close(self._clock.mono_ns()):
            self._write_process(event, seen)
        self._intake.close()
        self._write_files()
        self._commit()
        self._write_anchors()
        self._write_exit()
        if not self._commit():
            self._commit()  # once more: reopening recovers a log whose write failed
        self._scribe.publish()
        self._selector.close()

    def _write_anchors(self) -> None:
        for worker in self._setup.anchors:
            statistics = worker.statistics()
            record = AnchorRecord(
                target=worker.target[:4096],
                sent=statistics.sent,
                failed=statistics.failed,
                last_size=statistics.last_size,
                last_error=None if statistics.last_error is None else statistics.last_error[:4096],
                longest_stretch_ns=int(statistics.longest_stretch * 1e9),
                **self._scribe.stamp(),
            )
            self._scribe.write(record)

    def _write_exit(self) -> None:
        job, exited = self._job, self._exited
        reason = "the job ended"
        if self._stopped is not None:
            reason = self._stopped.reason
        elif exited is None:
            reason = "the job ended after the launcher; its status is not known"
        record = ExitRecord(
            pid=0 if job is None else job.pid,
            code=None if exited is None else exited.code,
            signal=None if exited is None else exited.signal,
            started_wall_ns=0 if job is None else job.wall_ns,
            elapsed_ns=exited.elapsed_ns if exited else 0 if job is None else self._clock.mono_ns() - job.mono_ns,
            left_running=len(self._observer.alive()),
            reason=reason,
            **self._scribe.stamp(),
        )
        self._scribe.write(record)

    # -- records

    def _write_files(self) -> None:
        for hashed in self._files.collect():
            frame, found = hashed.frame, hashed.found
            record = FileRecord(
                connection=hashed.connection,
                seq=frame.seq,
                rank=hashed.rank,
                action=frame.action,
                path=frame.path or "",
                step=frame.step,
                digest=None if found.digest is None else str(found.digest),
                size=found.size,
                claimed_digest=frame.digest,
                reason=found.reason,
                **self._scribe.stamp(),
            )
            self._scribe.write(record)

    def _write_process(self, event: str, seen: Seen) -> None:
        facts = seen.facts
        record = ProcessRecord(
            event="ended" if event == "ended" else "seen",
            pid=facts.pid,
            ppid=facts.ppid,
            started_ticks=facts.started_ticks,
            executable=facts.executable,
            command=self._setup.redact(facts.command),
            uid=facts.uid,
            torch=seen.torch,
            attached=seen.attached,
            forked=seen.forked,
            **self._scribe.stamp(),
        )
        self._scribe.write(record)


def ignore_the_jobs_signals() -> None:
    """What ends the job must not end its witness."""
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(each, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
