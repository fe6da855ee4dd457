"""The verdict of an audit: from what was compared to one of three words, with the reason.

Rules: `match` and `mismatch` are said only of a replay in an environment that verified; a mismatch only after two
replays agreed with each other; whatever stands in the way makes it `not_checkable`, with the first difference told all
the same. What was saved is told of a match, and decides nothing; nor do other models beside what is trained.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec

from saksi.judgement.diff import Difference, FirstDifference
from saksi.judgement.replay.compare import Extent, extent_of, is_as_in, stage_of, why_no_proof
from saksi.judgement.replay.place import other_place
from saksi.judgement.replay.probability import meets, spread
from saksi.judgement.replay.recorded import Recorded
from saksi.judgement.replay.values import (
    Audit,
    Detects,
    EnvironmentLine,
    Field,
    Named,
    Naming,
    ReplayCoverage,
    ReplaySteps,
    ReplayVerdict,
    SavedFiles,
    Segments,
    Stage,
)
from saksi.words.findings import Finding, at_or_above, is_about_coverage

__all__ = ["Compared", "audit_of", "cannot_replay", "is_repeated", "needs_repeat", "not_replayed"]

_FIELDS: Final = 12
_GENERATORS: Final = 4
_OTHER_MODELS: Final = (
    "the run and its replay held other models beside what is trained, which may be Python's doing: what a program has "
    "done with may go only as garbage is collected"
)
_STAGE_WORDS: Final[dict[Stage, str]] = {
    "program": "in what the program is made of",
    "setting": "in how the process was set up",
    "hyper_parameters": "in the hyper-parameters",
    "randomness": "in the random numbers",
    "data": "in the data",
    "checkpoint": "in the model checkpoint that was loaded",
    "code": "in the hooks and modes in force",
    "forward": "in the loss, from equal data, random numbers and state",
    "scaler": "in what the gradient scaler left out",
    "gradient": "in the gradient, from an equal loss",
    "between_steps": "in the state that it began with, which the step before had left as the replay did",
    "update": "in the state that it left, from equal state, data and loss",
    "state": "in the state that it left",
}
_FAMILIES: Final[dict[Stage, tuple[str, ...]]] = {
    "hyper_parameters": ("plan.", "optimizer."),
    "randomness": ("randomness.", "live."),
    "data": ("data.", "live."),
    "code": ("live.", "rehearsal."),
    "forward": ("live.", "environment."),
    "gradient": ("gradient.", "live."),
    "between_steps": ("state.", "live."),
    "update": ("optimizer.", "gradient.", "live."),
}


class _Told(NamedTuple):
    """What is said of it, before it becomes a document."""

    verdict: ReplayVerdict
    extent: Extent
    named: tuple[Named, ...]
    replays: int
    reasons: tuple[str, ...]
    saved: SavedFiles | None = None


class Compared(msgspec.Struct, frozen=True, kw_only=True):
    """What one or two replays gave. `repeated` is how the second differs from the first.

    `replays` counts them and the one of the program as it is found now, which `naming` tells of. `ended` is why a
    replay has fewer Steps than the record, in words; `against` why the replay itself is not to be believed. `tensors`
    are those that the roots of the first Step that differs bind otherwise; `other_models`: nothing differs but which
    models were held. `saved` is how the files that were saved agree.
    """

    recorded: Recorded
    replayed: Recorded
    difference: Difference
    repeated: Difference | None = None
    ended: str | None = None
    against: tuple[str, ...] = ()
    tensors: tuple[str, ...] = ()
    other_models: bool = False
    data_unchanged: bool = False
    naming: Naming | None = None
    saved: SavedFiles | None = None
    replays: int = 1


def cannot_replay(recorded: Recorded) -> str | None:
    """Why a record cannot be replayed from its first Step at all; `None` if it can."""
    if recorded.total == 0:
        return "no training step is in the record"
    if recorded.again:
        return "a rank trained more than once in this attempt, so that its first steps are not those of a new start"
    return None


def needs_repeat(compared: Compared) -> bool:
    """Whether a second replay decides: there is a difference that would be a mismatch."""
    first = compared.difference.first
    return first is not None and _proves_nothing(first, compared) is None


def _proves_nothing(first: FirstDifference, compared: Compared) -> str | None:
    """Why a difference, even if it is repeated, is none between what ran and what should have."""
    why = why_no_proof(first, data_unchanged=compared.data_unchanged)
    if why is None and compared.other_models:
        why = _OTHER_MODELS
    return why or other_place(compared.recorded.place, compared.replayed.place)


def is_repeated(compared: Compared) -> bool:
    """Whether a second replay showed the same Step to differ."""
    first = compared.difference.first
    return first is not None and compared.repeated is not None and is_as_in(compared.repeated, first)


def not_replayed(
    run: str, attempt: int, recorded: Recorded, environment: EnvironmentLine, reasons: Sequence[str]
) -> Audit:
    """The audit of a run that was not replayed."""
    nothing = Extent(replayed=0, match=0, segments=0)
    told = _Told(verdict="not_checkable", extent=nothing, named=(), replays=0, reasons=tuple(reasons))
    return _audit(run, attempt, recorded, environment, told)


def audit_of(
    run: str,
    attempt: int,
    compared: Compared,
    environment: EnvironmentLine,
    *,
    findings: Sequence[Finding] = (),
) -> Audit:
    """The audit, once `needs_repeat` was heard. `findings` are those of the record, for what they name."""
    first = compared.difference.first
    extent = extent_of(compared.recorded, compared.replayed, first)
    reasons = list(_against(compared, environment, extent))
    verdict: ReplayVerdict = "not_checkable" if reasons else "match" if first is None else "mismatch"
    named = () if first is None else (_named(first, compared, findings),)
    saved = compared.saved if verdict == "match" else None
    told = _Told(verdict, extent, named, compared.replays, tuple(reasons), saved)
    return _audit(run, attempt, compared.recorded, environment, told)


def _against(compared: Compared, environment: EnvironmentLine, extent: Extent) -> list[str]:
    """Every reason that nothing is proved."""
    first, reasons = compared.difference.first, list(compared.against)
    if extent.replayed == 0:
        reasons.append(compared.ended or "the replay made no step")
    elif first is None and extent.replayed < compared.recorded.total:
        reasons.append(compared.ended or "the replay made fewer steps than the run")
    elif first is None and _lacks(compared.difference):
        reasons.append("not every step of the record has one in the replay to be compared with")
    if first is not None:
        why = _proves_nothing(first, compared)
        if why is not None:
            reasons.append(why)
        elif compared.repeated is None:
            reasons.append("the difference was not repeated")
        elif not is_repeated(compared):
            reasons.append(f"the program does not repeat itself: {compared.repeated.sentence}")
    if not environment.verified:
        why = environment.differences[0] if environment.differences else "nothing approved says what it should be"
        reasons.append(f"the environment did not verify: {why}")
    return reasons


def _lacks(difference: Difference) -> bool:
    """Whether the replay made fewer Steps than the record has in the same process of a rank."""
    return any(each.optimizer == 0 and each.b < each.a for each in difference.lengths)


def _named(first: FirstDifference, compared: Compared, findings: Sequence[Finding]) -> Named:
    stage, naming = stage_of(first), compared.naming
    if naming is None or naming.function is None:
        name, file = _object(stage, first, findings), None
    else:
        name, file = naming.function, f"{naming.file}:{naming.line}"
    tensor = None if naming is None else naming.tensor
    return Named(
        step=max(0, first.update),
        rank=first.rank,
        stage=stage,
        object=name,
        file=file,
        tensor=compared.tensors[0] if compared.tensors else tensor,
        operation=None if naming is None else naming.operation,
        fields=tuple(Field(field=each.field, recorded=each.a, replayed=each.b) for each in first.fields[:_FIELDS]),
        naming=naming,
    )


def _object(stage: Stage, first: FirstDifference, findings: Sequence[Finding]) -> str | None:
    """What a finding of the record names that covers this Step and speaks of this stage; else the generators apart."""
    for family in _FAMILIES.get(stage, ()):
        for each in findings:
            if not at_or_above(each.severity, "warning") or is_about_coverage(each):
                continue
            covers = each.first_step is not None and each.first_step <= first.update + 1
            if covers and each.code.startswith(family) and (not each.ranks or first.rank in each.ranks):
                return each.subject
    if stage == "randomness":
        names = (each.field.partition(".")[2] for each in first.fields if each.field.startswith("rng."))
        return ", ".join(list(dict.fromkeys(names))[:_GENERATORS]) or None
    return None


def _audit(run: str, attempt: int, recorded: Recorded, environment: EnvironmentLine, told: _Told) -> Audit:
    extent, verdict, named = told.extent, told.verdict, told.named
    total, bad = recorded.total, extent.replayed - extent.match
    steps = ReplaySteps(
        total=total,
        replayed=extent.replayed,
        match=extent.match,
        mismatch=bad if verdict == "mismatch" else 0,
        not_checkable=total - extent.match - (bad if verdict == "mismatch" else 0),
    )
    coverage = ReplayCoverage(
        fraction=extent.replayed / total if total else 0.0,
        segments=Segments(total=recorded.segments, replayed=extent.segments),
        detects=Detects(
            one_segment=meets(recorded.segments, min(1, recorded.segments), extent.segments),
            spread=spread(total, extent.replayed),
        ),
    )
    return Audit(
        run=run,
        attempt=attempt,
        verdict=verdict,
        tier="exact",
        environment=environment,
        steps=steps,
        coverage=coverage,
        first_bad_step=named[0].step if named and verdict == "mismatch" else None,
        named=named,
        replays=told.replays,
        sampled=None,
        saved=told.saved,
        distance=None,
        reasons=told.reasons,
        sentence=_sentence(steps, told),
    )


def _sentence(steps: ReplaySteps, told: _Told) -> str:
    verdict, named, reasons = told.verdict, told.named, told.reasons
    if verdict == "match":
        every = "All" if steps.match == steps.total else f"{steps.match} of"
        said = f"{every} {steps.total} steps are bit for bit what the sealed program does in the verified environment."
        return said if told.saved is None else f"{said} {_files(told.saved)}"
    if not named:
        return f"Not checkable: {'; '.join(reasons)}."
    one = named[0]
    where = f"step {one.step} of rank {one.rank} differs {_STAGE_WORDS[one.stage]}"
    what = f" ({one.object})" if one.object else ""
    before = f"Before it, {steps.match} steps are equal." if steps.match else "It is the first that was compared."
    if verdict == "mismatch":
        how = f" {one.naming.sentence}" if one.naming is not None else ""
        return f"Not what the sealed program does: {where}{what}. {before}{how}"
    return f"Not checkable: {'; '.join(reasons)}. The first difference: {where}{what}."


def _files(saved: SavedFiles) -> str:
    total = saved.equal + saved.differing
    if not saved.differing:
        return "So is the file that was saved." if total == 1 else f"So are all {total} files that were saved."
    if total == 1:
        said = "The file that was saved is not"
    else:
        said = f"Of {total} files that were saved, {saved.differing} {'is' if saved.differing == 1 else 'are'} not"
    hows = {each.how for each in saved.named}
    if hows == {"not known"}:
        return f"{said} compared: what was in {'it' if saved.differing == 1 else 'them'} is not known."
    why = "a time or a path that is written into a file does" if "other content" in hows else "saving by the clock does"
    return f"{said}: {why} that too."
