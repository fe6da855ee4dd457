"""The name of what was tampered with: the Step that differs once more, written down as sealed and as it is found now.

Rules: the second replay of the sealed program is the one that is written down, and counts as the repetition only if
that changed nothing; whatever comes of the program as it is found now, the verdict stands. It runs as a replay does,
where it can change nothing, sees no other replay, and shares no bytecode with one.

Known weakness: the transcript of the program as it is found now is that program's own word.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import msgspec

from saksi.doors.cli.audit_asked import AuditAsked, Replays, difference, new_folder
from saksi.edges.runs import RunMaterials
from saksi.judgement.replay.compare import is_as_in
from saksi.judgement.replay.invocation import Invocation
from saksi.judgement.replay.judge import Compared, is_repeated
from saksi.judgement.replay.named import naming_of, unnamed
from saksi.judgement.replay.naming import parting_of, without_noise
from saksi.judgement.replay.transcript import Transcript, parse_transcript
from saksi.judgement.replay.values import Naming
from saksi.processes.auditor.replaying import Replay, Replayed
from saksi.words.errors import MalformedInput, SaksiError

__all__ = ["Repeated", "confirm", "name", "repeat"]

UNNAMED: Final = 2
"""Replays more of a difference that nothing explains: a program that tosses a coin agrees with itself now and then."""
_LISTED: Final = 4


class Repeated(NamedTuple):
    """The comparison with its repetition, the replay that was it, and what that wrote down, or why nothing."""

    compared: Compared
    replayed: Replayed
    sealed: Transcript | str


def repeat(replays: Replays, one: RunMaterials, compared: Compared, *, names: bool) -> Repeated:
    """The second replay, with the Step that differs written down if that is wanted.

    Where that changed what the program did, two more that are not have to agree. Raises `NotReplayed`, `OSError`.
    """
    where = _where(compared) if names else None
    if not isinstance(where, tuple):
        found = replays.once("second", "replaying once more")
        return Repeated(_again(compared, one, found), found, where or "")
    found = replays.once("second", "replaying once more", msgspec.structs.replace(replays.task, transcript=where))
    compared = _again(compared, one, found)
    if is_repeated(compared):
        return Repeated(compared, found, _parsed(found))
    for again in ("third", "fourth"):
        found = replays.once(again, "replaying once more, with nothing written down")
        compared = _again(compared, one, found)
        if not is_repeated(compared):
            break
    return Repeated(compared, found, "the sealed program does something else as its operations are written down")


def _again(compared: Compared, one: RunMaterials, found: Replayed) -> Compared:
    apart = compared.repeated if found.reading is None else difference(one, 0, found.reading)
    return msgspec.structs.replace(compared, repeated=apart, replays=compared.replays + 1)


def _where(compared: Compared) -> tuple[int, int] | str:
    """Rank and Step whose operations tell; or why none do."""
    first = compared.difference.first
    if first is None or first.update < 0:
        return "the difference is none of a Step"
    if first.optimizer != 0:
        return f"the difference is in an update of optimizer {first.optimizer}, and Steps are those of optimizer 0"
    return first.rank, first.update


def name(replays: Replays, one: RunMaterials, repeated: Repeated) -> Compared:
    """With what the program, as it is found now, does in that Step. Raises nothing for what that program does."""
    compared, asked, task = repeated.compared, replays.asked, replays.task
    if not isinstance(repeated.sealed, Transcript):
        return _with(compared, unnamed("not_replayed", repeated.sealed))
    where = _where(compared)
    if asked.found is None or not isinstance(where, tuple):
        return _with(compared, unnamed("not_replayed", "how it was started is not in the record"))
    if asked.found == asked.invocation and not task.placed:
        return _with(compared, unnamed("as_sealed"))  # the same words in the same place
    counted = msgspec.structs.replace(compared, replays=compared.replays + 1)
    try:
        told = _told(
            asked, one, compared, replays.once("found", "replaying it as it is found now", _as_found(replays, where))
        )
        if not isinstance(told, Transcript):
            return _with(counted, told)
        return _compared(replays, where, counted, told, repeated.sealed)
    except (SaksiError, OSError) as reason:
        return _with(counted, unnamed("not_replayed", str(reason)))


def confirm(replays: Replays, one: RunMaterials, compared: Compared) -> Compared:
    """Where what is found now does not do that Step as recorded, the sealed program must agree with itself longer.

    It is replayed up to the end of that Step. Raises `NotReplayed`, `OSError`.
    """
    naming, first = compared.naming, compared.difference.first
    is_explained = naming is not None and naming.as_found == "as_recorded" and naming.operation is not None
    if is_explained or first is None:
        return compared
    steps = first.update + 2 if first.optimizer == 0 and first.update >= 0 else None
    ranks = len(compared.recorded.steps)
    task = replays.task if steps is None else msgspec.structs.replace(replays.task, enough=(ranks, steps))
    for number in range(UNNAMED):
        what = "replaying once more, since nothing that is found now explains the difference"
        compared = _again(compared, one, replays.once(f"again-{number}", what, task))
        if not is_repeated(compared):
            break
    return compared


def _as_found(replays: Replays, where: tuple[int, int]) -> Replay:
    """The words, variables and files of the run, apart from everything that the other replays left."""
    others = [replays.place / each for each in ("first", "second")]
    return msgspec.structs.replace(
        replays.task,
        invocation=replays.asked.found,
        redaction_key=None,
        placed=(),
        hidden=(*replays.task.hidden, *others),
        cache=new_folder(replays.place, "cache-found"),
        transcript=where,
    )


def _compared(
    replays: Replays, where: tuple[int, int], compared: Compared, found: Transcript, sealed: Transcript
) -> Compared:
    """With where the two part; once the sealed one is free of what differs in itself, where that could be it."""
    parting = parting_of(found, sealed)
    if parting is not None and parting.may_be_noise:
        task = msgspec.structs.replace(replays.task, transcript=where)
        other = _parsed(replays.once("last", "replaying once more", task))
        compared = msgspec.structs.replace(compared, replays=compared.replays + 1)
        if not isinstance(other, Transcript):
            return _with(compared, unnamed("as_recorded", other))
        sealed = without_noise(sealed, other)
    return _with(compared, naming_of(found, sealed))


def _told(asked: AuditAsked, one: RunMaterials, compared: Compared, found: Replayed) -> Transcript | Naming:
    first = compared.difference.first
    if found.reading is None or first is None:
        return unnamed("not_replayed", found.ending)
    if not is_as_in(difference(asked.reading, asked.attempt, found.reading), first):
        same = is_as_in(difference(one, 0, found.reading), first)
        return unnamed("as_sealed") if same else unnamed("neither", _lacking(asked.found))
    transcript = _parsed(found)
    return transcript if isinstance(transcript, Transcript) else unnamed("as_recorded", transcript)


def _lacking(found: Invocation | None) -> str | None:
    if found is None or not found.lacking:
        return None
    return f"the record hides what {', '.join(found.lacking[:_LISTED])} held in the run, and it is not set here"


def _parsed(replayed: Replayed) -> Transcript | str:
    """What was written down, or why that cannot be read."""
    if replayed.transcript is None:
        return "its operations were not written down to the end of the step"
    try:
        return parse_transcript(replayed.transcript)
    except MalformedInput as reason:
        return str(reason)


def _with(compared: Compared, told: Naming) -> Compared:
    return msgspec.structs.replace(compared, naming=told)
