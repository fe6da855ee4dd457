"""The name of what was tampered with: the Step that differs once more under trace, as sealed and as it is found now.

Rules: the second replay of the sealed program is the one that is traced, and counts as the repetition only if the trace
changed nothing; what is found now runs as a replay does, where it can change nothing, and is believed in nothing but
that it did the Step as recorded.
"""

from __future__ import annotations

import msgspec

from saksi.doors.cli.audit_asked import AuditAsked, Replays, difference
from saksi.edges.runs import RunMaterials
from saksi.judgement.replay.compare import is_as_in
from saksi.judgement.replay.judge import Compared, is_repeated
from saksi.judgement.replay.trace import Trace, parse_trace
from saksi.judgement.replay.traced import traced, without_trace
from saksi.judgement.replay.values import Traced
from saksi.processes.auditor.replaying import Replayed
from saksi.words.errors import MalformedInput

__all__ = ["named", "repeated"]


def repeated(replays: Replays, one: RunMaterials, compared: Compared, *, traced: bool) -> tuple[Compared, Replayed]:
    """The second replay, with the Step that differs traced if that is wanted; a third where the trace changed it.

    Raises `NotReplayed`, `OSError`.
    """
    where = _where(compared) if traced else None
    found = replays.once("second", "replaying once more", msgspec.structs.replace(replays.task, trace=where))
    compared = _again(compared, one, found)
    if where is not None and not is_repeated(compared):
        found = replays.once("third", "replaying once more, untraced")
        compared = _again(compared, one, found)
    return compared, found


def _again(compared: Compared, one: RunMaterials, found: Replayed) -> Compared:
    apart = compared.repeated if found.reading is None else difference(one, 0, found.reading)
    return msgspec.structs.replace(compared, repeated=apart, replays=compared.replays + 1)


def _where(compared: Compared) -> tuple[int, int] | None:
    first = compared.difference.first
    return None if first is None or first.update < 0 else (first.rank, first.update)


def named(replays: Replays, one: RunMaterials, compared: Compared, second: Replayed) -> Compared:
    """With what the program, as it is found now, does in that Step. Raises `NotReplayed`, `OSError`."""
    asked, task = replays.asked, replays.task
    where = _where(compared)
    if where is None:
        return compared
    sealed = _parsed(second)
    if not isinstance(sealed, Trace):
        return _with(compared, without_trace("not_replayed", f"the sealed program could not be traced: {sealed}"))
    if asked.found is None:
        return _with(compared, without_trace("not_replayed", "how it was started is not in the record"))
    if asked.found == asked.invocation and not task.placed:
        return _with(compared, without_trace("as_sealed"))  # the same words in the same place
    as_found = msgspec.structs.replace(task, invocation=asked.found, redaction_key=None, placed=(), trace=where)
    found = replays.once("found", "replaying it as it is found now", as_found)
    told = _told(asked, one, compared, found, sealed)
    return msgspec.structs.replace(_with(compared, told), replays=compared.replays + 1)


def _told(asked: AuditAsked, one: RunMaterials, compared: Compared, found: Replayed, sealed: Trace) -> Traced:
    first = compared.difference.first
    if found.reading is None or first is None:
        return without_trace("not_replayed", found.ending)
    if not is_as_in(difference(asked.reading, asked.attempt, found.reading), first):
        same = is_as_in(difference(one, 0, found.reading), first)
        return without_trace("as_sealed" if same else "neither")
    trace = _parsed(found)
    return traced(trace, sealed) if isinstance(trace, Trace) else without_trace("as_recorded", trace)


def _parsed(replayed: Replayed) -> Trace | str:
    """The trace, or why there is none."""
    if replayed.trace is None:
        return "nothing was traced"
    try:
        return parse_trace(replayed.trace)
    except MalformedInput as reason:
        return str(reason)


def _with(compared: Compared, told: Traced) -> Compared:
    return msgspec.structs.replace(compared, traced=told)
