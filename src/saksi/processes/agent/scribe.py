"""The scribe turns observations into entries: it stamps records, stores blobs, and commits in batches.

Rules:

- A blob is durable before the entry that names it.
- What is committed is acknowledged; what waits is bounded. If the store fails, the log is reopened (which recovers
  it) and what waited is tried again; what had to be dropped becomes a gap record.
- Checks are driven over exactly what was committed, with the indices it got.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Final, Protocol, TypedDict

from saksi.edges.clock import Clock
from saksi.edges.store.names import blob_name
from saksi.edges.store.protocol import Store
from saksi.processes.agent.connection import Block, Connection
from saksi.processes.agent.live import LiveChecks
from saksi.proofs.tlog.log_checkpoint import LogCheckpoint
from saksi.words.codec import encode_record
from saksi.words.digest import sha256
from saksi.words.errors import SaksiError
from saksi.words.records import AnyRecord, BlockRecord, FindingRecord, GapRecord

__all__ = ["LogWriter", "Scribe", "Stamp"]

_logger = logging.getLogger(__name__)

MAX_WAITING: Final = 100_000
"""Records held while the store fails: at a few hundred bytes each, some tens of megabytes."""
BATCH: Final = 4_096


class Stamp(TypedDict):
    """The fields every record carries."""

    run: str
    attempt: int
    wall_ns: int
    mono_ns: int
    boot: str


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
    ) -> None:
        self._run = run
        self._attempt = attempt
        self._clock = clock
        self._store = store
        self._open_log = open_log
        self._checks = checks
        self._log: LogWriter | None = open_log()
        self._acknowledged = self._log.head.size
        self._attempted = 0
        self._waiting: list[tuple[AnyRecord, bytes | None]] = []
        self._dropped = 0
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
        """Queue one record for the next commit. `block` is the content of the blob that a block record names."""
        if len(self._waiting) >= MAX_WAITING:
            self._dropped += 1
            return
        self._waiting.append((record, block))

    def write_block(self, connection: Connection, block: Block) -> None:
        """Queue a block: its blob is stored at the commit, before its record."""
        record = BlockRecord(
            connection=connection.number,
            rank=connection.rank,
            blob=str(sha256(block.content)),
            size=len(block.content),
            frames=block.frames,
            first_seq=block.first_seq,
            last_seq=block.last_seq,
            updates=block.updates,
            first_step=block.first_step,
            last_step=block.last_step,
            **self.stamp(),
        )
        self.write(record, block=block.content)

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

    def commit(self) -> bool:
        """Make everything that waits durable. Whether it is; if not, it still waits and `problem` says why."""
        if not self._waiting and self._failing_since is None:
            return True
        try:
            log = self._log or self._reopen()
            while self._waiting:
                self._commit_batch(log)
        except (SaksiError, OSError) as error:
            return self._fail(error)
        self._failing_since = None
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

    def _commit_batch(self, log: LogWriter) -> None:
        batch = self._waiting[:BATCH]
        for record, block in batch:
            if block is not None and isinstance(record, BlockRecord):
                self._store.write_once(blob_name(record.blob.removeprefix("sha256:")), block)
        self._attempted = len(batch)
        indices = log.append([encode_record(record) for record, _ in batch])
        self._acknowledge(indices)

    def _acknowledge(self, indices: range) -> None:
        batch = self._waiting[: len(indices)]
        del self._waiting[: len(indices)]
        self._attempted = 0
        self._acknowledged = indices.stop
        for index, (record, block) in zip(indices, batch, strict=True):
            self._checks.take(index, record, block)

    def _reopen(self) -> LogWriter:
        log = self._log = self._open_log()
        if self._attempted and log.head.size == self._acknowledged + self._attempted:
            # The write was reported as failed and had persisted: trying it again would write everything twice.
            self._acknowledge(range(self._acknowledged, log.head.size))
        reason = f"the log could not be written: {self.problem}"
        if self._dropped:
            reason += f"; {self._dropped} records were dropped"
        gap = GapRecord(reason=reason[:4096], since_wall_ns=self._failing_since, **self.stamp())
        self._waiting.append((gap, None))
        self._dropped = 0
        return log

    def _fail(self, error: Exception) -> bool:
        _logger.warning("%s", error)
        self.problem = str(error)[:1024]
        self._log = None
        if self._failing_since is None:
            self._failing_since = self._clock.wall_ns()
        return False
