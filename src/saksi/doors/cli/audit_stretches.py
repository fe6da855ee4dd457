"""An audit of some stretches: each is resumed from the model checkpoint that the run saved, by the program's own means.

Rules: a stretch that cannot be resumed, or that is otherwise once it is, is replayed from the start, and that alone
makes a mismatch. The model checkpoint has to hold the bytes that the run saved; it lies where the run had it, and is
there for the one replay that resumes from it.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from saksi.doors.cli.audit_asked import AuditAsked, Replays, new_folder
from saksi.doors.cli.audit_replays import against_replay, environment_at, replayed_from_start, replays_of
from saksi.doors.cli.reading import items_of, judged
from saksi.judgement.replay.drawing import Draw, drawn, overlapping, spoken_of
from saksi.judgement.replay.judge import not_replayed
from saksi.judgement.replay.resume import Resume
from saksi.judgement.replay.resumed import compare_resumed
from saksi.judgement.replay.sampled import Plan, Replayed, audit_of_stretches, with_stretches
from saksi.judgement.replay.stretches import Restart, Stretch, saves_within, stretches_of
from saksi.judgement.replay.values import Audit, EnvironmentLine
from saksi.processes.auditor.replaying import NotReplayed
from saksi.words.errors import UsageError

__all__ = ["Wanted", "audited_in_part"]

_SECRET: Final = 16


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """Which part: so many stretches drawn, or those that have Steps of `steps`, the first and the last."""

    sample: int | None
    steps: tuple[int, int] | None
    beacon: str | None
    resume: Resume | None


class _Part(NamedTuple):
    """What is asked, planned, and where it is done."""

    asked: AuditAsked
    wanted: Wanted
    plan: Plan
    replays: Replays


def audited_in_part(asked: AuditAsked, wanted: Wanted) -> Audit:
    """The audit of what is wanted of a run. Raises `SaksiError`, `OSError`."""
    plan = _plan(asked, wanted)
    try:
        with replays_of(asked) as replays:
            return _replayed(_Part(asked, wanted, plan, replays))
    except NotReplayed as refused:
        nothing = EnvironmentLine(verified=False, approved_by=(), differences=())
        return not_replayed(asked.reading.run, asked.attempt, asked.recorded, nothing, (str(refused),))


def _plan(asked: AuditAsked, wanted: Wanted) -> Plan:
    counts = set(asked.recorded.steps.values())
    named = "*" if wanted.resume is None else wanted.resume.named
    saves = saves_within(items_of(asked.reading), asked.attempt, named=named) if len(counts) == 1 else ()
    stretches = stretches_of(max(counts, default=0), saves)
    if wanted.steps is not None:
        first, last = wanted.steps
        if last >= max(counts, default=0):
            remedy = f"steps 0 to {max(counts, default=0) - 1}"
            raise UsageError(f"--steps {first}:{last}: the run has no step {last}", remedy=remedy)
        return Plan(stretches=stretches, chosen=overlapping(stretches, first, last), always=frozenset(), draw=None)
    always = spoken_of(stretches, judged(asked.reading).report.items)
    draw = Draw(secret=secrets.token_hex(_SECRET), log_root=(asked.reading.root or b"").hex(), beacon=wanted.beacon)
    chosen = drawn(draw, len(stretches), wanted.sample or 0, always=always)
    return Plan(stretches=stretches, chosen=chosen, always=always, draw=draw)


def _replayed(part: _Part) -> Audit:
    """Resumed where that can be, the rest from the start; that comes last, as it covers everything before it."""
    found: dict[int, Replayed] = {}
    reasons: dict[int, str] = {}
    environment: EnvironmentLine | None = None
    for number in part.plan.chosen:
        told, there = _resumed(part, number)
        environment = environment if there is None or (environment is not None and not environment.verified) else there
        if isinstance(told, Replayed):
            found[number] = told
        elif told is not None:
            reasons[number] = told
    rest = [number for number in part.plan.chosen if number not in found]
    count = len(found) + sum(part.plan.stretches[number].restart is not None for number in reasons)
    asked, plan = part.asked, part.plan
    if rest:
        until = plan.stretches[rest[-1]].behind
        audit = replayed_from_start(_apart(part.replays, "from-start"), steps=until)
        for number, stretch in enumerate(plan.stretches[: rest[-1] + 1]):
            found[number] = _from_start(asked, audit, number, stretch, reasons.get(number))
        if audit.verdict == "mismatch":
            return with_stretches(audit, asked.recorded, plan, tuple(found.values()), count)
        environment = audit.environment if environment is None or environment.verified else environment
    if environment is None:
        raise UsageError("no stretch was chosen", remedy="--sample 1 or more")
    subject = (asked.reading.run, asked.attempt)
    return audit_of_stretches(subject, asked.recorded, plan, tuple(found.values()), environment)


def _from_start(asked: AuditAsked, audit: Audit, number: int, stretch: Stretch, why: str | None) -> Replayed:
    ranks = len(asked.recorded.steps)
    equal = stretch.steps * ranks
    if audit.verdict != "match":
        reached = audit.named[0].step if audit.named else audit.steps.match // max(1, ranks)
        equal = min(max(0, reached - stretch.first), stretch.steps) * ranks
        why = audit.reasons[0] if audit.reasons else f"step {reached} differs"
    return Replayed(number=number, means="start", steps=stretch.steps * ranks, equal=equal, reason=why)


def _resumed(part: _Part, number: int) -> tuple[Replayed | str | None, EnvironmentLine | None]:
    """The stretch as it is once the program resumes there; why that says nothing; or `None` if it begins the run."""
    stretch, resume = part.plan.stretches[number], part.wanted.resume
    if stretch.restart is None:
        return None, None
    if resume is None:
        return "nothing says how the program resumes: --resume-with '--resume {ckpt}', or [replay] in saksi.toml", None
    asked, restart = part.asked, stretch.restart
    replays = _apart(part.replays, f"stretch-{number}")
    task = msgspec.structs.replace(
        replays.task,
        more=resume.words_for(restart.path),
        recorded_at="full",
        enough=(len(asked.recorded.steps), stretch.steps),
    )
    try:
        with _in_place(replays, restart):
            replayed = replays.once("resumed", f"replaying steps {stretch.first} to {stretch.behind - 1}", task)
    except (OSError, UsageError) as error:
        return str(error), None
    environment = environment_at(replays, replayed)
    if replayed.reading is None:
        return f"the replay that resumed left no record: {replayed.ending}", environment
    against = against_replay(replayed.reading)
    if against is not None:
        return against, environment
    compared = compare_resumed(stretch, items_of(asked.reading), asked.attempt, items_of(replayed.reading))
    if not compared.matches:
        return f"resumed there it is another: {compared.apart or replayed.ending}", environment
    found = Replayed(number=number, means="resume", steps=compared.steps, equal=compared.equal)
    return found, environment


def _apart(replays: Replays, name: str) -> Replays:
    """The same, in a folder of its own; what other replays left is not seen from there."""
    others = tuple(each for each in replays.place.iterdir() if each.name.startswith(("stretch-", "from-")))
    hidden = (*replays.task.hidden, *others)
    task = msgspec.structs.replace(replays.task, hidden=hidden)
    return replays._replace(place=new_folder(replays.place, name), task=task)


@contextlib.contextmanager
def _in_place(replays: Replays, restart: Restart) -> Iterator[None]:
    """The model checkpoint is where the program looks for it. Raises `UsageError` if it is not what was saved."""
    path = Path(os.path.normpath(Path(replays.asked.invocation.folder, restart.path)))
    found = _digest(path)
    if found != restart.digest:
        raise UsageError(f"{path} is not there" if found is None else f"{path} has changed since the run saved it")
    for source, target in replays.task.placed:
        if path.is_relative_to(target) and source.is_dir():
            copy = source / path.relative_to(target)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)
            try:
                if _digest(copy) != restart.digest:  # it changed meanwhile
                    raise UsageError(f"{path} has changed since the run saved it")
                yield
            finally:
                copy.unlink(missing_ok=True)
            return
    yield


def _digest(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
    except OSError:
        return None
