"""The scribe turns observations into entries: it stamps records, stores blobs, and commits in batches.

Rules:

- A blob is durable before the entry that names it.
- A record becomes its entry when it is written, and an entry that waits is one that readers accept. What does not fit
  is cut, or a gap record says that there was something: no record holds up those behind it.
- What is committed is acknowledged; what waits is bounded. If the store fails, the log is reopened (which recovers
  it) and what waited is tried again; one gap record for the whole stretch comes before it and says what was dropped.
- Checks are driven over exactly what was committed, with the indices it got.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from saksi.edges.clock import Clock
from saksi.edges.store.protocol import Store
from saksi.judgement.items import blob_of
from saksi.processes.agent.budget import ByteBudget
from saksi.processes.agent.connection import Block, Connection
from saksi.processes.agent.live import LiveChecks
from saksi.processes.agent.observations import Stamp, block_record, printable
from saksi.processes.agent.pending import Pending, cut, kind_of, pending
from saksi.proofs.tlog.log_checkpoint import LogCheckpoint
from saksi.words.blobs import blob_name
from saksi.words.errors import SaksiError
from saksi.words.findings import Finding
from saksi.words.records import AnyRecord, ApprovalRecord, AttemptKeyRecord, FindingRecord, GapRecord, SealRecord

__all__ = ["LogWriter", "Scribe"]

_logger = logging.getLogger(__name__)

MAX_WAITING: Final = 100_000
"""Records held while the store fails: at a few hundred bytes each, some tens of megabytes."""
MAX_WAITING_BYTES: Final = 256 * 1024 * 1024
"""Of entries and blobs held while the store fails, where no budget says otherwise."""
BATCH: Final = 4_096


class LogWriter(Protocol):
    """What the scribe needs of a sequencer."""

    def append(self, entries: Sequence[bytes]) -> range:
        """Durable on return; the indices the entries got."""

    def publish(self) -> None:
        """Bring the tiles and the published note up to the head."""

    @property
    def head(self) -> LogCheckpoint:
        """The last head: everything before its size is acknowledged."""

    @property
    def head_note(self) -> bytes:
        """The signed note of `head`."""


class Scribe:
    """The only writer of one attempt's records. Owned by the agent's one thread."""

    def __init__(
        self,
        *,
        run: str,
        attempt: int,
        clock: Clock,
        store: Store,
        open_log: Callable[[], LogWriter],
        checks: LiveChecks,
        budget: ByteBudget | None = None,
        announce: Callable[[Finding], None] = lambda _: None,
    ) -> None:
        self._run = run
        self._attempt = attempt
        self._clock = clock
        self._store = store
        self._open_log = open_log
        self._checks = checks
        self._announce = announce  # must neither wait nor raise
        self._log: LogWriter | None = open_log()
        self._acknowledged = self._log.head.size
        self._attempted = 0
        self._waiting: list[Pending] = []
        self._held = (budget or ByteBudget(MAX_WAITING_BYTES)).share()
        self._gap_is_first = False  # the first that waits is the gap record of the failure that lasts
        self._gap_is_told = False  # the failure that lasts has its gap record in the log already
        self._dropped = 0
        self._dropped_told = 0
        self._failing_since: int | None = None
        self._published: bytes | None = None
        self.problem: str | None = None

    def stamp(self) -> Stamp:
        """Now, for a record that is about to be written."""
        clock = self._clock
        return Stamp(
            run=self._run, attempt=self._attempt, wall_ns=clock.wall_ns(), mono_ns=clock.mono_ns(), boot=clock.boot
        )

    def write(self, record: AnyRecord, *, block: bytes | None = None) -> None:
        """Queue one record for the next commit. `block` is the content of the blob that the record names.

        Never raises, but for a seal, a seal file or a key that cannot be written: without these the rest means nothing.
        """
        waiting = self._entered(record, block)
        if len(self._waiting) >= MAX_WAITING or not self._held.take(waiting.size):
            self._dropped += 1
            return
        self._waiting.append(waiting)

    def _entered(self, record: AnyRecord, block: bytes | None) -> Pending:
        try:
            return pending(record, block)
        except Exception as error:
            if isinstance(record, SealRecord | ApprovalRecord | AttemptKeyRecord):
                raise
            _logger.warning("a record is cut or left out: %s", error)
            reason = f"a {kind_of(record)} record could not be written down: {type(error).__name__}: {error}"
        try:
            return pending(cut(record), block)
        except Exception:  # noqa: BLE001 - the first error is the one to tell
            return self._gap(reason, since_wall_ns=None)

    def _gap(self, reason: str, *, since_wall_ns: int | None) -> Pending:
        return pending(GapRecord(reason=printable(reason)[:4096], since_wall_ns=since_wall_ns, **self.stamp()))

    def write_block(self, connection: Connection, block: Block) -> None:
        """Queue a block: its blob is stored at the commit, before its record."""
        self.write(block_record(connection, block, self.stamp()), block=block.content)

    @property
    def waiting(self) -> int:
        """How many records wait for the next commit."""
        return len(self._waiting)

    @property
    def head(self) -> LogCheckpoint | None:
        """The last head, if the log is open."""
        return None if self._log is None else self._log.head

    @property
    def head_note(self) -> bytes | None:
        """The signed note of `head`."""
        return None if self._log is None else self._log.head_note

    def write_findings(self) -> None:
        """Queue what the checks have found since the last call."""
        for finding in self._checks.news():
            self.write(FindingRecord(finding=finding, **self.stamp()))
            self._announce(finding)

    def commit(self) -> bool:
        """Make everything that waits durable. Whether it is; if not, it still waits and `problem` says why."""
        if not self._waiting and self._failing_since is None and not self._dropped:
            return True
        try:
            log = self._log or self._reopen()
            self._tell_gap()
            while self._waiting:
                self._commit_batch(log)
        except (SaksiError, OSError) as error:
            return self._fail(error)
        self._failing_since = None
        self._gap_is_told = False
        self.problem = None
        return True

    def publish(self) -> bool:
        """Bring the published log up to the head, if it moved."""
        if self._log is None or self._log.head_note == self._published:
            return True
        try:
            self._log.publish()
        except SaksiError as error:
            return self._fail(error)
        self._published = self._log.head_note
        return True

    def let_go(self) -> None:
        """Forget what could not be written: nothing is written any more."""
        self._waiting.clear()
        self._held.give(self._held.held)

    def _commit_batch(self, log: LogWriter) -> None:
        batch = self._waiting[:BATCH]
        for each in batch:
            digest = blob_of(each.record)
            if each.block is not None and digest is not None:
                self._store.write_once(blob_name(digest), each.block)
        self._attempted = len(batch)
        self._acknowledge(log.append([each.entry for each in batch]))

    def _acknowledge(self, indices: range) -> None:
        batch = self._waiting[: len(indices)]
        del self._waiting[: len(indices)]
        self._held.give(sum(each.size for each in batch))
        if self._gap_is_first and batch:
            self._gap_is_first = False
            self._gap_is_told = True
            self._dropped -= self._dropped_told
        self._attempted = 0
        self._acknowledged = indices.stop
        for index, each in zip(indices, batch, strict=True):
            self._checks.take(index, each.record, each.block)

    def _reopen(self) -> LogWriter:
        # Locking again settles what the failed write left in doubt: what is read from here on is on the device.
        log = self._log = self._open_log()
        if self._attempted and log.head.size == self._acknowledged + self._attempted:
            # The write was reported as failed and had persisted: trying it again would write everything twice.
            self._acknowledge(range(self._acknowledged, log.head.size))
        self._attempted = 0
        return log

    def _tell_gap(self) -> None:
        """Put the gap record of a failure, or of what was dropped, before what waits: one, whatever is tried."""
        if (self._failing_since is None or self._gap_is_told) and not self._dropped:
            return
        reason = "more records came than can wait to be written"
        if self._failing_since is not None:
            reason = f"the log could not be written: {self.problem}"
        if self._dropped:
            reason = f"{reason[:4000]}; {self._dropped} records were dropped"
        gap = self._gap(reason, since_wall_ns=self._failing_since)
        if self._gap_is_first:
            self._held.give(self._waiting.pop(0).size)
        self._waiting.insert(0, gap)
        self._held.take(gap.size, anyway=True)
        self._gap_is_first = True
        self._dropped_told = self._dropped

    def _fail(self, error: Exception) -> bool:
        _logger.warning("%s", error)
        self.problem = str(error)[:1024]
        self._log = None
        if self._failing_since is None:
            self._failing_since = self._clock.wall_ns()
        return False
