"""What came of a task that a worker executed, read from the folder that it left, once what it signed was checked."""

from __future__ import annotations

from pathlib import Path

from saksi.edges.own_file import read_own_file
from saksi.processes.auditor.executor import Refused
from saksi.processes.auditor.launches import NotReplayed, reading_in
from saksi.processes.auditor.record_files import record_files
from saksi.processes.auditor.replaying import Replayed
from saksi.processes.auditor.results import checked
from saksi.processes.auditor.worker import record_in, result_in
from saksi.proofs.attest.envelope import MAX_ENVELOPE_BYTES
from saksi.proofs.tlog.note_key import VerifierKey

__all__ = ["outcome_in"]


def outcome_in(folder: Path, key: VerifierKey, task: str) -> Replayed | Refused:
    """The outcome of the task with this digest, signed with `key`, with the record as it lies there.

    Raises `NotReplayed` as the worker said it; `SaksiError` and `OSError` where it is not what was signed.
    """
    content = read_own_file(result_in(folder), MAX_ENVELOPE_BYTES)
    result = checked(content or b"", key, task, record_files(record_in(folder)))
    reading = reading_in(record_in(folder))
    if result.not_replayed is not None:
        raise NotReplayed(result.not_replayed)
    if result.refused is not None:
        return Refused(result.refused)
    return Replayed(
        reading=reading,
        code=result.code,
        last_words=result.last_words,
        observed=result.observed,
        enough=result.enough,
        took_more=result.took_more,
    )
