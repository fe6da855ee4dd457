"""The embedded agent: one attempt, one thread, in a process of its own that the launcher forked.

It ends when the job has ended and everything that was said is in the log. It ignores the signals that end a job
(a cancelled job still deserves its last records); it is stopped by the job's end, never by the job's signals.

If the launcher dies first, the job goes on and so does the agent: it holds a pidfd of the job, or looks for it in /proc
where the kernel has none. An error of our own in one thing is written down as a gap, and the rest goes on.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import resource
import selectors
import signal
import socket
import time
from collections.abc import Callable
from typing import Final

import msgspec

from saksi.edges.clock import Clock
from saksi.edges.host.procfs import read_process
from saksi.processes.agent.anchors import AnchorWorker
from saksi.processes.agent.ckpt_files import CkptFiles, HashedCkpt
from saksi.processes.agent.connection import Connection
from saksi.processes.agent.control import (
    JobExited,
    JobStarted,
    SignalSeen,
    Stop,
    receive_from_launcher,
)
from saksi.processes.agent.intake import Intake
from saksi.processes.agent.keeper import MAX_FILES
from saksi.processes.agent.observer import MAX_RECORDED, Observer, Seen
from saksi.processes.agent.scribe import Scribe
from saksi.words.frames import AnyFrame, CkptFrame, EnvironmentFrame
from saksi.words.records import AnchorRecord, ExitRecord, FileRecord, GapRecord, ProcessRecord, SignalRecord

__all__ = ["Service", "ServiceSetup", "ignore_the_jobs_signals"]

_logger = logging.getLogger(__name__)

LOOK_NS: Final = 250_000_000
COMMIT_NS: Final = 1_000_000_000
COMMIT_AT: Final = 256
PUBLISH_NS: Final = 60_000_000_000
RETRY_NS: Final = 5_000_000_000
LAST_WORDS_NS: Final = 3_000_000_000
"""After the job's end: how long connected processes may still talk before the log is closed."""
STRAGGLERS_NS: Final = 500_000_000
"""After the job's end: how long its other processes may still be about to end."""
FILES_NS: Final = 60_000_000_000
"""After the job's end: how long model checkpoints may still be hashed."""
MAX_SOURCE_PATH: Final = 1_024
"""Characters of a source file's path that is kept for later; with `MAX_FILES` of them, some tens of megabytes."""
MAX_ERRORS: Final = 16
"""Errors of our own that are written down; all of them are in the agent's log file."""


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
        self._polled: tuple[int, int] | None = None  # pid and start of the job, where there is no pidfd
        self._errors = 0
        self._due: dict[str, int] = {}
        self._anchored: bytes | None = None
        self.sources: set[str] = set()
        self.interpreter: str | None = None

    def run(self) -> None:
        """Watch until the job has ended, then close the log."""
        _raise_file_limit()
        for note in self._setup.notes:
            self._scribe.write(GapRecord(reason=note[:4096], since_wall_ns=None, **self._scribe.stamp()))
        self._selector.register(self._control, selectors.EVENT_READ, self._from_launcher)
        self._selector.register(self._wake_read, selectors.EVENT_READ, self._woken)
        while not self._is_over():
            for key, _ in self._selector.select(timeout=0.1):
                self._guarded(key.data)
            self._guarded(self._periodically)
        self._close()

    def _guarded(self, act: Callable[[], object]) -> None:
        """Do one thing; should it fail, the record says so and the agent goes on with the next."""
        try:
            act()
        except Exception as error:
            _logger.exception("the agent failed in one thing and goes on")
            self._errors += 1
            if self._errors <= MAX_ERRORS:
                self._write_gap(f"the agent failed in one thing and went on: {type(error).__name__}: {error}")

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
            self._pidfd = _pidfd_of(job.pid)
        except ProcessLookupError:  # it has ended already, and its status was taken: the launcher may still tell it
            self._job_ended()
        except OSError:  # a kernel older than 5.3, or a sandbox: look for it instead
            facts = read_process(job.pid)
            if facts is None:
                self._job_ended()
            else:
                self._polled = (job.pid, facts.started_ticks)
        else:
            self._selector.register(self._pidfd, selectors.EVENT_READ, self._job_ended)

    def _look_for_the_job(self) -> None:
        if self._polled is None:
            return
        pid, started_ticks = self._polled
        facts = read_process(pid)
        if facts is None or facts.started_ticks != started_ticks or facts.state in "ZX":
            self._polled = None
            self._job_ended()

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
            for _, path in frame.modules:
                if path.endswith(".py") and len(path) <= MAX_SOURCE_PATH and len(self.sources) < MAX_FILES:
                    self.sources.add(path)

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
        self._write_files(self._files.collect())

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
            self._look_for_the_job()
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
        if waited < STRAGGLERS_NS and self._observer.alive():
            return False  # processes of multiprocessing end a moment after the command
        return not (self._files.pending and waited < FILES_NS)

    def _control_is_open(self) -> bool:
        return self._control in self._selector.get_map()

    # -- the end

    def _close(self) -> None:
        for act in (self._close_observer, self._intake.close, self._close_files, self._commit, self._write_anchors):
            self._guarded(act)
        self._write_exit()
        if not self._commit():
            self._commit()  # once more: reopening recovers a log whose write failed
        self._scribe.publish()
        self._selector.close()

    def _close_observer(self) -> None:
        for event, seen in self._observer.close(self._clock.mono_ns()):
            self._write_process(event, seen)
        left_out = self._observer.left_out
        if left_out:
            self._write_gap(f"{left_out} processes beyond {MAX_RECORDED:,} were seen and not written down")

    def _close_files(self) -> None:
        """The last frames may have named files: what time is left is theirs, what is not read then says so."""
        while self._files.pending and self._job_gone_ns is not None and self._stopped is None:
            if self._clock.mono_ns() - self._job_gone_ns >= FILES_NS:
                break
            self._write_files(self._files.collect())
            time.sleep(0.01)
        self._write_files(self._files.collect())
        self._write_files(self._files.abandon("the attempt was closed before the file was read"))

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

    def _write_gap(self, reason: str) -> None:
        printable = reason.encode("ascii", "backslashreplace").decode("ascii")
        self._scribe.write(GapRecord(reason=printable[:1024], since_wall_ns=None, **self._scribe.stamp()))

    def _write_files(self, found_files: list[HashedCkpt]) -> None:
        for hashed in found_files:
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


def _pidfd_of(pid: int) -> int:
    """Raises `ProcessLookupError`, or another `OSError` where there are none."""
    opener = getattr(os, "pidfd_open", None)  # an interpreter built against old headers has no such function
    if opener is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    return int(opener(pid))


def _raise_file_limit() -> None:
    """As many open files as we may have: each recorder is one, and the log needs some."""
    with contextlib.suppress(OSError, ValueError):
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def ignore_the_jobs_signals() -> None:
    """What ends the job must not end its witness."""
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(each, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
