"""What an agent that died left behind, for the one that takes its place in the same attempt.

The next agent has a key of its own: the first entry it writes admits that key and names the last head, the second is
the gap. Whose word counts is read from the log: keys that the installation's key admitted for this attempt. The log
must contain the last head that the dead agent signed, where the launcher still knows it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec

from saksi.edges.runs import read_run
from saksi.edges.store.protocol import Store
from saksi.judgement.items import BlobReader, blob_of
from saksi.judgement.log_layer import opened
from saksi.processes.agent.live import LiveChecks
from saksi.processes.agent.recovery import LogRefused, open_head
from saksi.proofs.attest.predicates import ATTEMPT_KEY, parse_attempt_key
from saksi.proofs.attest.statement import parse_statement
from saksi.proofs.tlog.log_checkpoint import LogCheckpoint
from saksi.proofs.tlog.note import VerifierKey
from saksi.proofs.tlog.note_key import enrol
from saksi.words.codec import decode_record
from saksi.words.findings import Finding
from saksi.words.records import AnyRecord, AttemptKeyRecord, BlockRecord, ExitRecord, FindingRecord, ProcessRecord
from saksi.words.run import origin_of

__all__ = ["MAX_RELIVED", "Dead", "LeftBehind", "left_behind"]

MAX_RELIVED: Final = 64 * 1024 * 1024
"""Bytes of blocks that the checks read again before the next agent listens: some seconds."""


class Dead(msgspec.Struct, frozen=True, kw_only=True):
    """What the launcher knows of the agent that died: how it ended, and the last head that it signed."""

    reason: str
    last_head: bytes | None


class LeftBehind(msgspec.Struct, frozen=True, kw_only=True):
    """What is in the log of this attempt. `since_wall_ns` is when the last of it was written down."""

    records: tuple[tuple[int, AnyRecord], ...]
    keys: tuple[VerifierKey, ...]
    known_heads: tuple[LogCheckpoint, ...]
    since_wall_ns: int
    blob: BlobReader

    @property
    def ended(self) -> bool:
        """Whether the attempt was closed already: only the last word was missing."""
        return isinstance(self.records[-1][1], ExitRecord)

    @property
    def processes(self) -> Iterator[ProcessRecord]:
        """The job's processes as they were written down."""
        return (record for _, record in self.records if isinstance(record, ProcessRecord))

    @property
    def findings(self) -> Iterator[Finding]:
        """What was found and written down."""
        return (record.finding for _, record in self.records if isinstance(record, FindingRecord))

    def relive(self, checks: LiveChecks) -> None:
        """Drive `checks` over what was written, so that they go on from there; if it is too much, they begin anew.

        What they find and the dead agent had not written down yet is their next news.
        """
        if sum(record.size for _, record in self.records if isinstance(record, BlockRecord)) > MAX_RELIVED:
            checks.begin_late("the agent was started again, and `saksi findings` judges the whole record")
            return
        checks.begin()
        for index, record in self.records:
            digest = blob_of(record)
            checks.take(index, record, None if digest is None else self.blob(digest))
        checks.forget_written(self.findings)


def left_behind(
    store: Store, dead: Dead, *, run: str, attempt: int, installation: VerifierKey, before: tuple[VerifierKey, ...]
) -> LeftBehind:
    """Read the log of a dead agent. `before` are the keys of earlier attempts.

    Raises `LogRefused` if it cannot be what that agent left, `MalformedInput`, `StoreError`.
    """
    found = read_run(store, run=run, live=False)
    if found.head is None or found.short is not None:
        raise LogRefused(found.short or "there is no head")
    records = [(index, decode_record(entry, where=f"index {index}")) for index, entry in enumerate(found.entries)]
    own = tuple((index, record) for index, record in records if record.attempt == attempt)
    keys = (*before, *_keys(own, run=run, attempt=attempt, installation=installation))
    if not own or len(keys) == len(before):
        raise LogRefused(f"no key of attempt {attempt} is in it")
    known = () if dead.last_head is None else (open_head(dead.last_head, keys),)
    return LeftBehind(
        records=own, keys=keys, known_heads=known, since_wall_ns=max(each.wall_ns for _, each in own), blob=found.blob
    )


def _keys(
    records: tuple[tuple[int, AnyRecord], ...], *, run: str, attempt: int, installation: VerifierKey
) -> Iterator[VerifierKey]:
    for index, record in records:
        if not isinstance(record, AttemptKeyRecord):
            continue
        payload = opened(record.envelope.encode(), [installation], what="the key of an attempt", entry=index)
        if not isinstance(payload, bytes):
            raise LogRefused(payload.text)
        statement = parse_statement(payload)
        predicate = parse_attempt_key(statement.predicate)
        key = enrol(predicate.vkey)
        if (statement.predicate_type, predicate.run, predicate.attempt) != (ATTEMPT_KEY, run, attempt):
            raise LogRefused(f"entry {index} admits a key for something else")
        if key.name == origin_of(run):
            yield key
