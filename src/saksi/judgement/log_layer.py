"""The log as a log: which keys may speak for it, and whether its entries are the ones its head covers.

Rules: a head counts only under the key of the last attempt; an attempt's key counts only if a trusted installation key
signed it in under the log's name; attempts count from 0 without gaps; every key after the first names the head of all
entries before it. Reasons are collected, never raised; what cannot be judged is `inconclusive`, what contradicts itself
is `refused`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, Literal

import msgspec

from saksi.proofs.attest.envelope import Envelope, parse_envelope, verify
from saksi.proofs.attest.predicates import ATTEMPT_KEY, AttemptKey, parse_attempt_key
from saksi.proofs.attest.statement import parse_statement
from saksi.proofs.tlog.log_checkpoint import LogCheckpoint, open_log_checkpoint, parse_log_checkpoint
from saksi.proofs.tlog.merkle import CompactRange, HashReader, hash_reader, leaf_hashes
from saksi.proofs.tlog.note import parse_note, signers_of
from saksi.proofs.tlog.note_key import VerifierKey, enrol
from saksi.words.codec import decode_record
from saksi.words.errors import MissingKey, SaksiError
from saksi.words.records import AttemptKeyRecord
from saksi.words.run import origin_of

__all__ = [
    "AdmittedKey",
    "LogLayer",
    "Outcome",
    "Reason",
    "check_anchors",
    "check_log",
    "opened",
    "reason_of",
]

Outcome = Literal["accepted", "refused", "inconclusive"]

_KEY_ENTRY: Final = b'{"kind":"attempt_key",'
"""How the canonical form of an attempt key's entry begins."""
_FIRST_KEY: Final = 1
_WHAT: Final = "the key of an attempt"


class Reason(msgspec.Struct, frozen=True, kw_only=True):
    """Why a log is not accepted, for a person. `entry` is the index it is about, where there is one."""

    outcome: Outcome
    text: str
    entry: int | None = None


class AdmittedKey(msgspec.Struct, frozen=True, kw_only=True):
    """A key that a trusted installation key admitted, and the entry that says so."""

    entry: int
    attempt: int
    key: VerifierKey


class LogLayer(msgspec.Struct, frozen=True, kw_only=True):
    """What the log layer establishes. `head` is set only where its signature verified.

    `anchored` are the sizes at which a sound anchor agrees, in order.
    """

    keys: tuple[AdmittedKey, ...]
    head: LogCheckpoint | None
    reasons: tuple[Reason, ...]
    anchored: tuple[int, ...] = ()


def reason_of(error: SaksiError, *, entry: int | None = None, what: str = "") -> Reason:
    """An error of a parser or of a signature, as a reason: exit code 1 refuses, 3 is inconclusive."""
    outcome: Outcome = "refused" if error.exit_code == 1 else "inconclusive"
    return Reason(outcome=outcome, text=f"{what}: {error}" if what else str(error), entry=entry)


def opened(content: bytes, keys: Sequence[VerifierKey], *, what: str, entry: int) -> bytes | Reason:
    """The payload of an envelope that one of `keys` signed, or why it is not to be had."""
    try:
        envelope = parse_envelope(content)
        if not _names_a_key(envelope, keys):
            signers = ", ".join(each.keyid for each in envelope.signatures)
            text = f"{what} is signed by {signers}, which is not among the trusted keys"
            return Reason(outcome="inconclusive", text=text, entry=entry)
        return verify(envelope, keys)
    except SaksiError as error:
        return reason_of(error, entry=entry, what=what)


def _names_a_key(envelope: Envelope, keys: Iterable[VerifierKey]) -> bool:
    labels = {key.label for key in keys}
    return any(each.keyid in labels for each in envelope.signatures)


def check_log(
    *, run: str, entries: Sequence[bytes], head: bytes, keys: Sequence[VerifierKey], anchors: Sequence[bytes]
) -> LogLayer:
    """The admitted keys, the verified head and every reason against them. Never raises for what it is given."""
    read_hash = hash_reader(leaf_hashes(entries)) if entries else None
    admitted: list[AdmittedKey] = []
    reasons: list[Reason] = []
    last, attempt = _FIRST_KEY, None
    for index, entry in enumerate(entries):
        if not entry.startswith(_KEY_ENTRY):
            continue
        last = index
        record = _key_record(index, entry)
        if isinstance(record, Reason):
            reasons.append(record)
            continue
        found = _admitted(index, record, run=run, keys=keys, read_hash=read_hash, before=attempt)
        attempt = record.attempt  # also of a key that nobody here can judge: what follows is not held against it
        if isinstance(found, Reason):
            reasons.append(found)
        else:
            admitted.append(found)
    if not admitted or admitted[0].entry != _FIRST_KEY:
        if not reasons:
            text = "entry 1 does not admit a key, so nobody is known to sign this log"
            reasons.append(Reason(outcome="refused", text=text, entry=_FIRST_KEY))
        return LogLayer(keys=tuple(admitted), head=None, reasons=tuple(reasons))
    if admitted[-1].entry != last:  # who signs the head is not known: the reasons say why
        return LogLayer(keys=tuple(admitted), head=None, reasons=tuple(reasons))
    verified = _head(run, entries, head, admitted, read_hash)
    if isinstance(verified, Reason):
        reasons.append(verified)
        return LogLayer(keys=tuple(admitted), head=None, reasons=tuple(reasons))
    anchored, against = check_anchors(run, len(entries), anchors, [each.key for each in admitted], read_hash)
    return LogLayer(
        keys=tuple(admitted), head=verified, reasons=(*reasons, *against), anchored=tuple(sorted(set(anchored)))
    )


def _key_record(index: int, entry: bytes) -> AttemptKeyRecord | Reason:
    try:
        record = decode_record(entry, where=f"index {index}")
    except SaksiError as error:
        return reason_of(error, entry=index, what=_WHAT)
    if not isinstance(record, AttemptKeyRecord):
        return Reason(outcome="refused", text="an entry is not of the kind it begins with", entry=index)
    return record


def _admitted(
    index: int,
    record: AttemptKeyRecord,
    *,
    run: str,
    keys: Sequence[VerifierKey],
    read_hash: HashReader | None,
    before: int | None,
) -> AdmittedKey | Reason:
    try:
        payload = opened(record.envelope.encode(), keys, what=_WHAT, entry=index)
        if isinstance(payload, Reason):
            return payload
        statement = parse_statement(payload)
        if statement.predicate_type != ATTEMPT_KEY:
            return Reason(outcome="refused", text=f"{_WHAT} is a statement of another type", entry=index)
        predicate = parse_attempt_key(statement.predicate)
        key = enrol(predicate.vkey)
    except SaksiError as error:
        return reason_of(error, entry=index, what=_WHAT)
    text = _contradiction(predicate, key, record, index, run=run, read_hash=read_hash, before=before)
    if text is not None:
        return Reason(outcome="refused", text=f"{_WHAT} {text}", entry=index)
    return AdmittedKey(entry=index, attempt=predicate.attempt, key=key)


def _contradiction(
    predicate: AttemptKey,
    key: VerifierKey,
    record: AttemptKeyRecord,
    index: int,
    *,
    run: str,
    read_hash: HashReader | None,
    before: int | None,
) -> str | None:
    """What is wrong with a key; `before` is the attempt of the key before it."""
    if predicate.run != run or record.run != run:
        return f"is for run {predicate.run}, not {run}"
    if predicate.attempt != record.attempt:
        return f"is for attempt {predicate.attempt}, its entry says {record.attempt}"
    if key.name != origin_of(run):
        return f"is named {key.name[:80]}, not {origin_of(run)}"
    if before is None and predicate.attempt != 0:
        return f"is for attempt {predicate.attempt}; the first is attempt 0"
    if before is not None and predicate.attempt not in {before, before + 1}:
        return f"is for attempt {predicate.attempt}, after one for attempt {before}"
    size, root = predicate.previous_size, predicate.previous_root
    if size is None or root is None:
        return "names no head before it, though the log had begun" if index > _FIRST_KEY else None
    if size != index:
        return f"names a head of {size} entries, and {index} come before it"
    if read_hash is None or CompactRange.read(size, read_hash).root().hex() != root:
        return f"names a head of {size} entries that these entries do not have"
    return None


def _head(
    run: str,
    entries: Sequence[bytes],
    head: bytes,
    admitted: Sequence[AdmittedKey],
    read_hash: HashReader | None,
) -> LogCheckpoint | Reason:
    try:
        log_checkpoint = open_log_checkpoint(head, [admitted[-1].key])
    except SaksiError as error:
        return reason_of(error, what="the head")
    if log_checkpoint.origin != origin_of(run):
        return Reason(outcome="refused", text=f"the head is of {log_checkpoint.origin}, not of {origin_of(run)}")
    if log_checkpoint.size != len(entries):
        text = f"the head covers {log_checkpoint.size} entries, and there are {len(entries)}"
        return Reason(outcome="refused", text=text)
    if read_hash is None or CompactRange.read(len(entries), read_hash).root() != log_checkpoint.root:
        return Reason(outcome="refused", text="the entries are not the ones that the head covers")
    return log_checkpoint


def check_anchors(
    run: str, size: int, anchors: Sequence[bytes], keys: Sequence[VerifierKey], read_hash: HashReader | None
) -> tuple[list[int], list[Reason]]:
    """Sizes at which anchored heads agree with a log of `size` entries, and what the others say against it."""
    anchored: list[int] = []
    reasons: list[Reason] = []
    for at, content in enumerate(anchors):
        text = f"anchor {at}"
        try:
            note = parse_note(content)
            if not signers_of(note, keys):
                reasons.append(Reason(outcome="inconclusive", text=f"{text} is not signed by a key of this log"))
                continue
            log_checkpoint = parse_log_checkpoint(note.text)
        except MissingKey as error:
            reasons.append(reason_of(error, what=text))
            continue
        except SaksiError as error:
            # Whoever can add a file to the folder of anchors could otherwise have an honest log refused.
            reasons.append(Reason(outcome="inconclusive", text=f"{text} is no signed head: {error}"))
            continue
        if log_checkpoint.origin != origin_of(run):
            reasons.append(Reason(outcome="inconclusive", text=f"{text} is of another log, {log_checkpoint.origin}"))
        elif log_checkpoint.size > size:
            covers = f"{text} covers {log_checkpoint.size} entries, and there are {size}: the log was cut short"
            reasons.append(Reason(outcome="inconclusive", text=covers))
        elif read_hash is None or CompactRange.read(log_checkpoint.size, read_hash).root() != log_checkpoint.root:
            other = f"{text} has another root over the first {log_checkpoint.size} entries: the log was rewritten"
            reasons.append(Reason(outcome="refused", text=other))
        elif log_checkpoint.size > 0:  # the head of the empty log binds nothing
            anchored.append(log_checkpoint.size)
    return anchored, reasons
