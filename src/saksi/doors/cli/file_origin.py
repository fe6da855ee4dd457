"""Which run and step made a file, and whether it is unchanged. Pure: records in, one line of a report out.

Rules: content that a run recorded as saved is known; content that was only ever loaded has no known maker; a path that
a run saved with other content speaks against the file; anything else is not known. What a record says counts only if
its log's signatures verify: the caller leaves out the others and says so.
"""

from __future__ import annotations

import posixpath
from collections.abc import Collection, Iterable, Sequence

import msgspec

from saksi.doors.cli.documents import Made, VerifyLine
from saksi.judgement.log_layer import Outcome
from saksi.judgement.weight_origin import WeightOrigin
from saksi.words.records import FileRecord

__all__ = ["Recorded", "judge_file", "with_weights"]


class Recorded(msgspec.Struct, frozen=True, kw_only=True):
    """What a run's log says of a file. `folder` is the run's working directory, where that is known."""

    run: str
    entry: int
    folder: str | None
    record: FileRecord


def judge_file(
    *, target: str, paths: Collection[str], digest: str, recorded: Iterable[Recorded], doubts: Sequence[str] = ()
) -> VerifyLine:
    """The answer for a file with this digest that lies at `paths` (as named, and without links).

    `doubts` say which runs could not be asked.
    """
    made: list[Recorded] = []
    loaded: list[Recorded] = []
    others: list[Recorded] = []
    for each in recorded:
        if each.record.action == "unread":
            continue
        if digest in (each.record.digest, each.record.claimed_digest):
            (made if each.record.action == "saved" else loaded).append(each)
        elif each.record.action == "saved" and _path(each) in paths and (_observed(each) or each.record.claimed_digest):
            others.append(each)
    verdict, sentence, reasons = _answer(digest, made, loaded, others)
    if verdict != "accepted":
        reasons += doubts
    return VerifyLine(
        target=target,
        kind="file",
        verdict=verdict,
        run=made[-1].run if made else None,
        entries=None,
        digest=digest,
        sentence=sentence,
        reasons=tuple(reasons),
        made=tuple(_made(each, digest) for each in (*made, *loaded)),
    )


def with_weights(line: VerifyLine, origin: WeightOrigin | None, reasons: Sequence[str]) -> VerifyLine:
    """The answer for a file that no run is known to have made as it is, once its tensors were looked at.

    All of them in one committed state, under their names: it is accepted, unless its path speaks against it or
    `reasons` say what hinders.
    """
    if origin is None:
        return msgspec.structs.replace(line, reasons=(*line.reasons, *reasons))
    if origin.is_whole and not reasons and line.verdict != "refused":
        every = "The tensor in it is one" if origin.tensors == 1 else f"All {origin.tensors} tensors in it are those"
        part = f"; that state has {origin.parameters} parameters" if origin.tensors < origin.parameters else ""
        sentence = f"{every} of {_state(origin)}, byte for byte; {_latest(origin)}{part}."
        return msgspec.structs.replace(
            line, verdict="accepted", run=origin.run, sentence=sentence, reasons=(), weights=origin
        )
    return msgspec.structs.replace(line, reasons=(*line.reasons, _in_common(origin), *reasons), weights=origin)


def _in_common(origin: WeightOrigin) -> str:
    count = f"{origin.same} of its {origin.tensors} tensors" if origin.tensors > 1 else f"{origin.same} of its 1 tensor"
    said = f"{count} {'is' if origin.same == 1 else 'are'} in the state of {_state(origin)}, byte for byte"
    if origin.renamed:
        said += f"; {origin.renamed} {'is' if origin.renamed == 1 else 'are'} in it, and not under that name"
    if origin.others:
        more = f" and {origin.others_omitted} more" if origin.others_omitted else ""
        one = len(origin.others) == 1 and not more
        said += f"; {', '.join(origin.others)}{more} {'is' if one else 'are'} not"
    if origin.ambiguous:
        said += "; it has several tensors under one of these names, of several models"
    if origin.step < 0:
        said += "; that run began with it, and did not make it"
    return said


def _state(origin: WeightOrigin) -> str:
    step = "before its first step" if origin.step < 0 else f"after step {origin.step}"
    attempt = f"@{origin.attempt}" if origin.attempt else ""
    which = "an average, or another model that no optimizer updates, of " if origin.beside else ""
    return f"{which}run {origin.run}{attempt} {step}, rank {origin.rank}"


def _latest(origin: WeightOrigin) -> str:
    if origin.step >= origin.last_step:
        return "no later state is in its record"
    return f"it went on from there: the last state in its record is of step {origin.last_step}"


def _answer(
    digest: str, made: Sequence[Recorded], loaded: Sequence[Recorded], others: Sequence[Recorded]
) -> tuple[Outcome, str, list[str]]:
    if made:
        torn = [each for each in made if _disagrees(each)]
        if torn:
            reason = "what the job wrote and what the agent then read are two different contents"
            return "inconclusive", f"{_maker(torn[-1])}, but not surely unchanged since.", [reason]
        later = [each for each in others if each.run == made[-1].run and each.entry > made[-1].entry]
        more = f" The last content recorded at this path is of step {later[-1].record.step}." if later else ""
        claimed = (
            "" if made[-1].record.digest == digest else " Its digest is the job's claim; the agent read no such file."
        )
        return "accepted", f"{_maker(made[-1])}, and unchanged since.{more}{claimed}", []
    if others:
        was = others[-1].record.digest or others[-1].record.claimed_digest
        sentence = (
            f"{_maker(others[-1])} at this path, but with other content: it was changed since, or is another file."
        )
        return "refused", sentence, [f"recorded {was}, found {digest}"]
    if loaded:
        last = loaded[-1]
        sentence = f"Loaded by run {last.run}, with this content; no run is recorded to have made it."
        return "inconclusive", sentence, []
    return "inconclusive", "No run is recorded to have made a file with this content.", []


def _maker(each: Recorded) -> str:
    step = "before its first step" if each.record.step < 0 else f"after step {each.record.step}"
    return f"Saved by run {each.run} {step}, rank {each.record.rank}"


def _disagrees(each: Recorded) -> bool:
    claimed = each.record.claimed_digest
    return _observed(each) and claimed is not None and claimed != each.record.digest


def _observed(each: Recorded) -> bool:
    return each.record.digest is not None


def _path(each: Recorded) -> str:
    path = each.record.path
    return path if each.folder is None else posixpath.normpath(posixpath.join(each.folder, path))


def _made(each: Recorded, digest: str) -> Made:
    record = each.record
    return Made(
        run=each.run,
        action=record.action,
        path=record.path,
        step=record.step,
        rank=record.rank,
        entry=each.entry,
        observed=record.digest == digest,
    )
