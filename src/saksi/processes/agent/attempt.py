"""One attempt under watch: what arrives of it, when it is over, and what is written as it ends.

It is over when the job has ended and everything that was said is in the log. If the launcher dies first, the job goes
on and so does the watch. An error of our own in one thing is written down as a gap, and the rest goes on.
"""

from __future__ import annotations

import logging
import os
import selectors
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from saksi.edges.clock import Clock
from saksi.edges.environment.object_places import Surroundings
from saksi.edges.environment.source_places import OwnCode
from saksi.edges.files import OnBehalf
from saksi.processes.agent.anchors import AnchorWorker
from saksi.processes.agent.bell import Bell
from saksi.processes.agent.ckpt_files import CkptFiles, HashedCkpt
from saksi.processes.agent.connection import Connection
from saksi.processes.agent.control import JobStarted
from saksi.processes.agent.environment_files import EnvironmentWatch, Watch
from saksi.processes.agent.intake import Intake
from saksi.processes.agent.job import Job
from saksi.processes.agent.keeper import MAX_FILES
from saksi.processes.agent.last_head import LastHead
from saksi.processes.agent.launcher import Launcher
from saksi.processes.agent.live_watch import LiveWatch
from saksi.processes.agent.mapped_watch import MappedWatch
from saksi.processes.agent.observations import anchor_record, exit_record, file_record, printable
from saksi.processes.agent.observer import MAX_RECORDED
from saksi.processes.agent.outside import Outside
from saksi.processes.agent.sample_key import SampleKey
from saksi.processes.agent.scribe import Scribe
from saksi.words.frames import AnyFrame, CapsuleFrame, CkptFrame, EnvironmentFrame
from saksi.words.records import GapRecord, ProcessRecord

__all__ = ["AttemptSetup", "WatchedAttempt"]

_logger = logging.getLogger(__name__)

LOOK_NS: Final = 250_000_000
COMMIT_NS: Final = 1_000_000_000
COMMIT_AT: Final = 256
PUBLISH_NS: Final = 60_000_000_000
ENVIRONMENT_NS: Final = 60_000_000_000
"""How often the environment's folders are listed again, where a seal names its files."""
ANCHOR_NS: Final = 10_000_000_000
"""How often a head is offered to the anchors, and the last one always: each stays there for good."""
RETRY_NS: Final = 5_000_000_000
LAST_WORDS_NS: Final = 3_000_000_000
"""After the job's end: how long connected processes may still talk before the log is closed."""
STRAGGLERS_NS: Final = 500_000_000
"""After the job's end: how long its other processes may still be about to end."""
STALLED_NS: Final = 10_000_000_000
"""The agent turns every tenth of a second: one that did not for so long was stopped, or its disk was."""
FILES_NS: Final = 60_000_000_000
"""After the job's end: how long model checkpoints may still be hashed."""
MAX_SOURCE_PATH: Final = 1_024
"""Characters of a source file's path that is kept for later; with `MAX_FILES` of them, some tens of megabytes."""
MAX_ERRORS: Final = 16
"""Errors of our own that are written down; all of them are in the agent's log file."""


class AttemptSetup(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of an attempt before it begins. `processes` were written down by the agent before this one."""

    launcher: int
    account: int
    token: str
    redact: Callable[[tuple[str, ...]], list[str]]
    anchors: tuple[AnchorWorker, ...] = ()
    last_head: LastHead | None = None
    processes: tuple[ProcessRecord, ...] = ()
    notes: tuple[str, ...] = ()
    on_behalf_of: OnBehalf | None = None
    """Whose model checkpoints are read, if it is not the agent's own account."""
    seen_from_here: Callable[[JobStarted], JobStarted] = lambda started: started
    """The job with its process id as the agent sees it, where the launcher may see another."""
    news: Callable[[], str | None] = lambda: None
    """What has happened around the attempt, and is to stand in its record; asked often, and once more at the end."""
    keeps_sources: bool = False
    """Whether somebody wants the paths of what the job imported."""
    own_code: OwnCode = OwnCode()
    """Where the user's own code lies, as the seal names it."""
    draw: Callable[[int], bytes] = os.urandom
    """Random bytes: when recorders are asked, with which number, and what they sample, is nobody else's to know."""
    shares_pids: bool = True
    """Whether the process ids that the launcher tells are those that the agent sees."""
    environment: Watch | None = None
    """The environment whose files are looked at while the job runs."""
    around: Surroundings = Surroundings()
    """Where shared objects may come from, as the seal says."""
    redaction_key: bytes | None = None
    """The key of the launch's home, under which its seal was redacted; without it some variables are not compared."""
    cache: Path | None = None
    """The node-local cache, of the agent's own account, if there is one."""


class WatchedAttempt:
    """One attempt. `begin` once; then `react` when `fileno` is readable and `tick` often, until it `is_over`; `close`.

    What it listens to is in a selector of its own, which is itself a file that can be waited for: so one loop can
    serve several attempts, an error belongs to one of them, and nothing of one is left in the loop once it is closed.
    """

    def __init__(
        self, setup: AttemptSetup, *, clock: Clock, scribe: Scribe, listener: socket.socket, control: socket.socket
    ) -> None:
        self._setup = setup
        self._clock = clock
        self._scribe = scribe
        self._selector = selectors.DefaultSelector()
        self._job = Job(clock=clock, selector=self._selector)
        self._outside = Outside(
            setup.launcher, clock=clock, scribe=scribe, selector=self._selector, redact=setup.redact
        )
        self._launcher = Launcher(
            control,
            selector=self._selector,
            scribe=scribe,
            job=self._job,
            outside=self._outside,
            seen_from_here=setup.seen_from_here,
            shares_pids=setup.shares_pids,
        )
        self._bell = Bell()
        self._files = CkptFiles(self._bell.ring, on_behalf_of=setup.on_behalf_of)
        self._environment = EnvironmentWatch(setup.environment, self._bell.ring, scribe)
        self._live = LiveWatch(
            clock=clock,
            scribe=scribe,
            wake=self._bell.ring,
            own=setup.own_code,
            draw=setup.draw,
            on_behalf_of=setup.on_behalf_of,
        )
        self._sample_key = SampleKey(setup.draw)
        self._mapped = MappedWatch(
            clock=clock,
            scribe=scribe,
            wake=self._bell.ring,
            around=setup.around,
            sealed_files=self._environment.sealed_files,
            draw=setup.draw,
            redaction_key=setup.redaction_key,
            cache=setup.cache,
            on_behalf_of=setup.on_behalf_of,
        )
        self._intake = Intake(
            listener,
            token=setup.token,
            account=setup.account,
            clock=clock,
            scribe=scribe,
            selector=self._selector,
            heard=self._heard,
        )
        self._errors = 0
        self._ticked: tuple[int, int] | None = None
        self._due: dict[str, int] = {}
        self._kept: bytes | None = None
        self._anchored: bytes | None = None
        self.sources: set[str] = set()
        self.interpreter: str | None = None

    def fileno(self) -> int:
        """Readable when something has arrived."""
        return self._selector.fileno()

    def begin(self) -> None:
        """Write the notes that come before everything else, and listen."""
        for note in self._setup.notes:
            self._scribe.write(GapRecord(reason=note[:4096], since_wall_ns=None, **self._scribe.stamp()))
        self._launcher.listen()
        self._selector.register(self._bell, selectors.EVENT_READ, self._rung)
        self._outside.recall(self._setup.processes)
        self._environment.look("start")
        self._is_due("environment", ENVIRONMENT_NS)  # the first pass comes that much later

    def react(self) -> None:
        """Take what has arrived."""
        for key, _ in self._selector.select(timeout=0):
            self._guarded(key.data)

    def tick(self) -> None:
        """Do what is due by now."""
        now, wall = self._clock.mono_ns(), self._clock.wall_ns()
        if self._ticked is not None and now - self._ticked[0] >= STALLED_NS:
            stalled = f"the agent did nothing for {(now - self._ticked[0]) / 1e9:.0f} seconds, stopped or held up"
            self._write_gap(stalled, since_wall_ns=self._ticked[1])
        self._ticked = now, wall
        self._guarded(self._periodically)

    def is_over(self) -> bool:
        """Whether nothing more is waited for."""
        if self._job.stopped is not None:
            return True
        waited = self._job.waited_ns()
        if waited is None:
            return False
        if self._job.exited is None and self._launcher.is_here and waited < LAST_WORDS_NS:
            return False  # the launcher is about to tell the status
        if self._intake.open_connections and waited < LAST_WORDS_NS:
            return False
        if waited < STRAGGLERS_NS and self._outside.alive():
            return False  # processes of multiprocessing end a moment after the command
        return not (self._files.pending and waited < FILES_NS)

    def close(self) -> None:
        """Write the end of the attempt, and let go of everything but the scribe's store."""
        # What was said before the end is heard before it is written how the processes ended.
        closing = (self._launcher.close, self._intake.close, self._close_outside, self._close_files)
        last = (self._live.finish, self._close_environment, self._mapped.finish)
        for act in (*closing, *last, self._commit, self.tell_news, self._write_anchors):
            self._guarded(act)
        self._write_exit()
        if not self._commit(last=True):
            self._commit(last=True)  # once more: reopening recovers a log whose write failed
        self._let_go()

    def break_off(self, reason: str) -> None:
        """Write down what has arrived and that nobody watches from here on; no exit record: the job goes on."""
        for act in (self._intake.close, self._commit, self.tell_news):
            self._guarded(act)
        self._write_gap(reason)
        self._commit(last=True)
        self._let_go()

    def tell_news(self) -> None:
        """Write down what is not watched, or not kept, from here on."""
        news = self._setup.news()
        if news is not None:
            self._write_gap(news)

    def _let_go(self) -> None:
        self._scribe.publish()
        self._selector.close()
        self._job.close()
        self._outside.let_go()
        self._files.close()
        self._environment.let_go()
        self._live.close()
        self._mapped.close()
        self._bell.close()

    def _guarded(self, act: Callable[[], object]) -> None:
        """Do one thing; should it fail, the record says so and the watch goes on with the next."""
        try:
            act()
        except Exception as error:
            _logger.exception("the agent failed in one thing and goes on")
            self._errors += 1
            if self._errors <= MAX_ERRORS:
                self._write_gap(f"the agent failed in one thing and went on: {type(error).__name__}: {error}")

    # -- what arrives

    def _heard(self, connection: Connection, frame: AnyFrame) -> None:
        self.interpreter = self._outside.heard(connection, frame) or self.interpreter
        self._sample_key.heard(connection, frame)
        self._live.heard(connection, frame)
        self._mapped.heard(connection, frame)
        if isinstance(frame, CkptFrame | CapsuleFrame):
            self._intake.store_block(connection)  # what led to the file stands in the log before the file
            self._files.give(connection.number, connection.rank, frame)
        elif isinstance(frame, EnvironmentFrame) and self._setup.keeps_sources:
            for _, path in frame.modules:
                if path.endswith(".py") and len(path) <= MAX_SOURCE_PATH and len(self.sources) < MAX_FILES:
                    self.sources.add(path)

    def _rung(self) -> None:
        if self._bell.hush():
            self._write_files(self._files.collect())
            self._environment.write()
            self._live.write()
            self._mapped.write()

    # -- what is done now and then

    def _is_due(self, what: str, every_ns: int) -> bool:
        now = self._clock.mono_ns()
        if now < self._due.get(what, 0):
            return False
        self._due[what] = now + every_ns
        return True

    def _periodically(self) -> None:
        if self._job.started is not None and self._is_due("look", LOOK_NS):
            self._outside.look(self._launcher.hear_out)
            self._job.look()
        self._intake.flush()
        self._live.ask()
        self._mapped.look()
        pressing = self._scribe.waiting >= COMMIT_AT and self._scribe.problem is None
        if pressing or self._is_due("commit", COMMIT_NS if self._scribe.problem is None else RETRY_NS):
            self._commit()
        if self._is_due("publish", PUBLISH_NS):
            self._scribe.publish()
        if self._job.started is not None and self._is_due("environment", ENVIRONMENT_NS):
            self._environment.look("pass")

    def _commit(self, *, last: bool = False) -> bool:
        committed = self._scribe.commit()
        head, note = self._scribe.head, self._scribe.head_note
        if committed and head is not None and note is not None:
            if self._setup.last_head is not None and note != self._kept:
                self._setup.last_head.keep(note)
                self._kept = note
            if note != self._anchored and (self._is_due("anchor", ANCHOR_NS) or last):
                for worker in self._setup.anchors:
                    worker.offer(head.size, note)
                self._anchored = note
        self._scribe.write_findings()
        return committed

    # -- the end

    def _close_outside(self) -> None:
        self._outside.close()
        left_out = self._outside.left_out
        if left_out:
            self._write_gap(f"{left_out} processes beyond {MAX_RECORDED:,} were seen and not written down")

    def _close_files(self) -> None:
        """The last frames may have named files: what time is left is theirs, what is not read then says so."""
        while self._files.pending and self._may_wait():
            self._write_files(self._files.collect())
            time.sleep(0.01)
        self._write_files(self._files.collect())
        self._write_files(self._files.abandon("the attempt was closed before the file was read"))

    def _close_environment(self) -> None:
        self._environment.close(self._may_wait)

    def _may_wait(self) -> bool:
        """Whether files may still be read: the job has ended, and not long ago."""
        waited = None if self._job.stopped is not None else self._job.waited_ns()
        return waited is not None and waited < FILES_NS

    def _write_anchors(self) -> None:
        for worker in self._setup.anchors:
            self._scribe.write(anchor_record(worker, self._scribe.stamp()))

    def _write_exit(self) -> None:
        left_running = len(self._outside.alive())
        self._scribe.write(exit_record(self._job, left_running, self._scribe.stamp()))

    # -- records

    def _write_gap(self, reason: str, since_wall_ns: int | None = None) -> None:
        stamp = self._scribe.stamp()
        self._scribe.write(GapRecord(reason=printable(reason)[:1024], since_wall_ns=since_wall_ns, **stamp))

    def _write_files(self, hashed_files: list[HashedCkpt]) -> None:
        for hashed in hashed_files:
            self._scribe.write(file_record(hashed, self._scribe.stamp()))
