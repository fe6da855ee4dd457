"""The replays of one audit: the program once, once more where that decides, and what is held against the record."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from saksi.doors.cli.audit_asked import AuditAsked, Replays, difference, new_folder
from saksi.doors.cli.audit_distance import with_distance
from saksi.doors.cli.audit_environment import NOTHING_APPROVED, clean_project, verify_here
from saksi.doors.cli.audit_naming import confirm, name, repeat
from saksi.doors.cli.reading import items_of, judged
from saksi.edges.home import resolve_home
from saksi.edges.host.ending_signals import EndingSignals
from saksi.edges.host.memory import available_memory
from saksi.edges.keys import open_keyring
from saksi.edges.runs import RunMaterials
from saksi.judgement.diff import Difference, FirstDifference
from saksi.judgement.replay.compare import before_step, is_of_root_alone
from saksi.judgement.replay.explained import is_own_doing
from saksi.judgement.replay.judge import Compared, audit_of, is_repeated, needs_repeat, not_replayed
from saksi.judgement.replay.recorded import Recorded, recorded_of
from saksi.judgement.replay.saved import last_compared, saved_beside, saved_of
from saksi.judgement.replay.tensors import Roots, are_other_models, named_apart, roots_at
from saksi.judgement.replay.values import Audit, EnvironmentLine, SavedFiles
from saksi.processes.auditor.launches import NotReplayed
from saksi.processes.auditor.replaying import Replay, Replayed, TookTooMuch, look, scratch_folder
from saksi.words.findings import at_or_above, is_about_coverage

__all__ = ["against_replay", "audited", "environment_at", "memory_share", "replayed_from_start", "replays_of"]


def audited(asked: AuditAsked) -> Audit:
    """The audit, once the program ran; once more where there is a difference that would be a mismatch.

    Where it is one, and a name is wanted, once more as it is found now. Raises `SaksiError`, `OSError`.
    """
    try:
        with replays_of(asked) as replays:
            return replayed_from_start(replays)
    except NotReplayed as refused:
        return _nothing(asked, str(refused))


@contextlib.contextmanager
def replays_of(asked: AuditAsked) -> Iterator[Replays]:
    """What is to be replayed, with a folder that is gone at the end. Raises `NotReplayed`, `SaksiError`, `OSError`."""
    layered = _written(asked)
    with EndingSignals() as signals, scratch_folder(layered, rather=_home(asked)) as place:
        yield Replays(asked, _task(asked, layered, place), place, signals)


def _home(asked: AuditAsked) -> tuple[Path, ...]:
    """The home folder of what is replayed, which a layer is put over where that can be."""
    home = Path(asked.invocation.environment.get("HOME", "/nonexistent"))
    return (home.resolve(),) if home.is_dir() and home.resolve() != Path("/") else ()


def _nothing(asked: AuditAsked, reason: str, environment: EnvironmentLine = NOTHING_APPROVED) -> Audit:
    return not_replayed(asked.reading.run, asked.attempt, asked.recorded, environment, (reason,))


def replayed_from_start(replays: Replays, *, steps: int | None = None) -> Audit:
    """The audit of a run, or as if it had made so many `steps`. Raises `NotReplayed`, `SaksiError`, `OSError`."""
    asked, whole = replays.asked, steps is None
    if steps is not None:
        asked = msgspec.structs.replace(asked, recorded=asked.recorded.up_to(steps))
        task = msgspec.structs.replace(replays.task, enough=(len(asked.recorded.steps), steps))
        replays = replays._replace(asked=asked, task=task)
    try:
        return _judged(replays, whole=whole)
    except TookTooMuch as refused:
        return _nothing(asked, str(refused), environment_at(replays, refused.replayed))


def _judged(replays: Replays, *, whole: bool) -> Audit:
    """The audit; of the whole run, with how far apart they are where nothing is proved.

    Raises `TookTooMuch`, `NotReplayed`, `SaksiError`, `OSError`.
    """
    asked = replays.asked
    first = replays.once("first", "replaying")
    environment = environment_at(replays, first)
    if first.reading is None:
        return _nothing(asked, f"the replay left no record: {first.ending}", environment)
    compared = _compared(asked, first, first.reading, verified=environment.verified)
    second = None
    if needs_repeat(compared):
        names = asked.names and environment.verified and not compared.against
        repeated = repeat(replays, first.reading, compared, names=names)
        compared, second = repeated.compared, repeated.replayed.reading
        if environment.verified:  # what was changed meanwhile was replayed with
            environment = environment_at(replays, repeated.replayed)
        if names and environment.verified and is_repeated(compared):
            compared = confirm(replays, first.reading, name(replays, first.reading, repeated))
    findings = judged(asked.reading).report.items
    found = audit_of(asked.reading.run, asked.attempt, compared, environment, findings=findings)
    return with_distance(replays, found, first.reading, second) if whole else found


def environment_at(replays: Replays, replayed: Replayed) -> EnvironmentLine:
    """Whether what was replayed is what the seal file says. Raises `SaksiError`, `OSError`."""
    asked = replays.asked
    if asked.basis is None:
        return NOTHING_APPROVED
    return verify_here(asked.basis, asked.invocation, replayed.observed, replays.task.placed)


def memory_share(parts: int) -> int | None:
    """The bytes that a replay may take if so many go side by side: of what is available, nine tenths.

    The rest is for what they take between two looks, and for files, which are read slowly where none are kept.
    """
    available = available_memory()
    return None if available is None else max(1, available * 9 // 10 // parts)


def _task(asked: AuditAsked, layered: Sequence[Path], place: Path) -> Replay:
    """What to replay: what lies there, or the sealed commit where that is not as sealed."""
    home = resolve_home(os.environ)
    was, here = asked.recorded.place, len(os.sched_getaffinity(0))
    task = Replay(
        invocation=asked.invocation,
        level=asked.seal.level,
        segment=asked.seal.segment,
        project=asked.seal.project,
        redaction_key=None if asked.basis is None else open_keyring(home).redaction_key,
        written=tuple(layered),
        hidden=(home.root,),
        placed=(),
        cache=new_folder(place, "cache"),
        limit_s=asked.limit_s,
        memory=asked.memory or memory_share(1),
        cores=was.cores if was.cores is not None and 0 < was.cores < here else None,
        threads=was.threads if was.given or (was.cores or 0) > here else None,
        sources=asked.recorded.sources,
    )
    if asked.basis is None:
        return task
    clean = clean_project(asked.basis, asked.invocation, look(task, new_folder(place, "look")), place)
    return msgspec.structs.replace(task, placed=clean)


def _written(asked: AuditAsked) -> tuple[Path, ...]:
    """Folders that the run wrote into, as far as they are here: what is made anew in them is made above them."""
    found: dict[Path, None] = {Path(asked.invocation.folder).resolve(): None}
    for saved in asked.recorded.saved:
        folder = Path(asked.invocation.folder, saved).parent
        while not folder.is_dir():
            folder = folder.parent
        if folder.resolve() != Path("/"):
            found[folder.resolve()] = None
    return tuple(found)


def against_replay(reading: RunMaterials) -> str | None:
    """Why a replay is not to be believed, by what was found of it; `None` where nothing that weighs was."""
    for each in judged(reading).report.items:
        if at_or_above(each.severity, "warning") and not is_about_coverage(each) and not is_own_doing(each.code):
            return f"the replay itself was found to be otherwise: {each.subject}: {each.message}"
    return None


def _before(asked: AuditAsked, apart: Difference) -> Difference:
    """Without what comes behind the Steps that are asked for: a replay that is ended may have gone a little further."""
    return before_step(apart, max(asked.recorded.steps.values(), default=0))


def _compared(asked: AuditAsked, replayed: Replayed, reading: RunMaterials, *, verified: bool) -> Compared:
    apart, tensors, other_models = _apart(asked, reading)
    against = against_replay(reading) if verified else None
    made = recorded_of(items_of(reading), 0)
    return Compared(
        recorded=asked.recorded,
        replayed=made,
        difference=apart,
        ended=replayed.ending,
        against=() if against is None else (against,),
        tensors=tensors,
        other_models=other_models,
        data_unchanged=asked.data_unchanged,
        saved=None if apart.first is not None else _saved(asked, replayed, reading, made),
    )


def _apart(asked: AuditAsked, reading: RunMaterials) -> tuple[Difference, tuple[str, ...], bool]:
    """What differs, the tensors that do, and whether nothing does but which models were held."""
    apart = _before(asked, difference(asked.reading, asked.attempt, reading))
    if apart.first is None:
        return apart, (), False
    roots = _roots(asked, reading, apart.first)
    if not (is_of_root_alone(apart.first) and are_other_models(*roots)):
        return apart, named_apart(*roots), False
    further = _before(asked, difference(asked.reading, asked.attempt, reading, optimized=True))
    if further.first is None:
        return apart, named_apart(*roots), True
    return further, named_apart(*_roots(asked, reading, further.first), optimized=True), False


def _roots(asked: AuditAsked, reading: RunMaterials, first: FirstDifference) -> tuple[Roots, Roots]:
    """Those behind that Step, in the record and in the replay."""
    return (
        roots_at(items_of(asked.reading), attempt=asked.attempt, rank=first.rank, step=first.update),
        roots_at(items_of(reading), attempt=0, rank=first.rank, step=first.update),
    )


def _saved(asked: AuditAsked, replayed: Replayed, reading: RunMaterials, made: Recorded) -> SavedFiles | None:
    last = last_compared(asked.recorded, made, ended=replayed.enough)
    one, two = saved_of(items_of(asked.reading), asked.attempt), saved_of(items_of(reading), 0)
    return saved_beside(one, two, before=last)
