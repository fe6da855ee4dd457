"""An audit of some stretches: each begins at a model checkpoint, by the program's own means, or at a capsule.

Rules: a stretch that cannot be resumed, or that is otherwise once it is, is replayed from the start, and that alone
makes a mismatch; where no difference proves anything, its first Step may be told up to rounding (`audit_split`). A
replay that resumed shares no bytecode with one from the start. How the program resumes is said by whoever audits, or by
the settings of what is replayed; either is told with the answer.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from saksi.doors.cli.audit_asked import AuditAsked, Replays, new_folder
from saksi.doors.cli.audit_environment import led
from saksi.doors.cli.audit_replays import environment_at, replayed_from_start, replays_of
from saksi.doors.cli.audit_resumed import Answer, Part, earlier_replays, resumed
from saksi.doors.cli.audit_split import NOTHING, THREADS, UpToRounding, up_to_rounding
from saksi.doors.cli.reading import items_of, judged
from saksi.edges.clock import SystemClock
from saksi.edges.configuration import read_configuration
from saksi.edges.home import resolve_home
from saksi.judgement.replay.capsules import capsules_within
from saksi.judgement.replay.drawing import Draw, drawn, overlapping, spoken_of
from saksi.judgement.replay.judge import not_replayed
from saksi.judgement.replay.resume import Resume
from saksi.judgement.replay.sampled import Plan, Replayed, Told, audit_of_stretches, with_stretches
from saksi.judgement.replay.stretches import Restart, Stretch, saves_within, stretches_of
from saksi.judgement.replay.values import Audit, EnvironmentLine
from saksi.processes.auditor.launches import NotReplayed
from saksi.processes.auditor.pool import LocalPool
from saksi.processes.auditor.unfinished import Unfinished, unfinished
from saksi.words.errors import UsageError

__all__ = ["Wanted", "audited_in_part"]

_SECRET: Final = 16
_NEVER_SEEN: Final = EnvironmentLine(verified=False, approved_by=(), differences=("no replay came to its end in it",))


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """Which part: so many stretches drawn, or those that have Steps of `steps`, the first and the last.

    `resume` is how the program resumes, where whoever audits says it; `jobs` replays go on side by side.
    """

    sample: int | None
    steps: tuple[int, int] | None
    beacon: str | None
    resume: Resume | None
    jobs: int = 1


def audited_in_part(asked: AuditAsked, wanted: Wanted) -> Audit:
    """The audit of what is wanted of a run. Raises `SaksiError`, `OSError`."""
    _require_steps(asked, wanted)
    _require_threads(asked)
    try:
        with replays_of(asked) as replays:
            many = _with_threads(replays, asked.threads)
            resume = wanted.resume or _of_settings(many)
            with _kept_of(many, wanted, resume) as kept:
                part = Part(many.asked, _plan(asked, wanted, resume, kept.draw), many, resume)
                return _replayed(part, wanted.jobs, kept)
    except NotReplayed as refused:
        nothing = EnvironmentLine(verified=False, approved_by=(), differences=())
        return not_replayed(asked.reading.run, asked.attempt, asked.recorded, nothing, (str(refused),))


def _with_threads(replays: Replays, threads: int | None) -> Replays:
    """All of them with so many, and none once more with others; as they are where no number is given."""
    if threads is None:
        return replays
    asked = msgspec.structs.replace(replays.asked, threads=None)
    return replays._replace(asked=asked, task=msgspec.structs.replace(replays.task, threads=threads))


def _require_steps(asked: AuditAsked, wanted: Wanted) -> None:
    if wanted.steps is None:
        return
    (first, last), steps = wanted.steps, max(asked.recorded.steps.values(), default=0)
    if last >= steps:
        raise UsageError(f"--steps {first}:{last}: the run has no step {last}", remedy=f"steps 0 to {steps - 1}")


def _require_threads(asked: AuditAsked) -> None:
    """Replays that have the run's threads all the same are not elsewhere: a difference of theirs may be a mismatch."""
    said = [name for name in THREADS if name in asked.invocation.environment]
    if asked.threads is not None and said:
        raise UsageError(
            f"--threads {asked.threads}: the sealed variables of the command say how many: {said[0]}",
            remedy="leave out --threads",
        )


def _of_settings(replays: Replays) -> Resume | None:
    """How the program that is replayed says that it resumes: by the settings of the commit in its place, if one is."""
    folder = led(Path(replays.asked.invocation.folder), replays.task.placed)
    resume = read_configuration(folder).settings.resume
    if resume is not None and not resume.chooses:
        raise UsageError("[replay] in saksi.toml does not say where {ckpt} goes", remedy='such as "--resume {ckpt}"')
    return resume


@contextlib.contextmanager
def _kept_of(replays: Replays, wanted: Wanted, resume: Resume | None) -> Iterator[Unfinished]:
    """What the same audit has done before it was ended; says how much there is for the next one if it is ended now.

    Of a replay whose environment does not verify nothing is kept: what it was of, nobody knows later.
    """
    asked = replays.asked
    root = (asked.reading.root or b"").hex()

    def draw() -> Draw:
        return Draw(secret=secrets.token_hex(_SECRET), log_root=root, beacon=wanted.beacon)

    words = None if resume is None else resume.words
    seal = "" if asked.basis is None else str(asked.basis.signed.digest)
    said = msgspec.json.encode((root, seal, wanted.sample, wanted.steps, wanted.beacon, words))
    subject = (asked.reading.run, asked.attempt)
    kept = None
    try:
        with unfinished(
            resolve_home(os.environ).audits,
            subject,
            said,
            draw,
            now_s=SystemClock().wall_ns() / 1e9,
            counts=lambda replayed: environment_at(replays, replayed).verified,
        ) as kept:
            yield kept
    except (KeyboardInterrupt, SystemExit):
        if kept is not None and kept.count:
            stretches = "1 stretch is" if kept.count == 1 else f"{kept.count} stretches are"
            sys.stderr.write(f"saksi: {stretches} replayed and kept: the same command goes on from there\n")
        raise


def _plan(asked: AuditAsked, wanted: Wanted, resume: Resume | None, draw: Draw) -> Plan:
    """Where Steps of a rank are missing in the record, nothing is known of places within it: it is one stretch."""
    saves: tuple[Restart, ...] = ()
    if resume is not None and asked.recorded.is_even:
        saves = saves_within(items_of(asked.reading), asked.attempt, named=resume.named)
    if asked.recorded.is_even:
        saves += capsules_within(items_of(asked.reading), asked.attempt, asked.recorded.steps)
    stretches = stretches_of(max(asked.recorded.steps.values(), default=0), saves)
    words = None if resume is None else resume.words
    if wanted.steps is not None:
        chosen = _with_one_that_is_not_hollow(stretches, overlapping(stretches, *wanted.steps))
        return Plan(stretches=stretches, chosen=chosen, always=frozenset(), draw=None, resume=words)
    always = spoken_of(stretches, judged(asked.reading).report.items)
    chosen = drawn(draw, len(stretches), wanted.sample or 0, always=always)
    return Plan(stretches=stretches, chosen=chosen, always=always, draw=draw, resume=words)


def _with_one_that_is_not_hollow(stretches: Sequence[Stretch], chosen: tuple[int, ...]) -> tuple[int, ...]:
    """A program could tell a replay from a capsule, and behave in it: so one stretch is always replayed otherwise."""
    begun = [stretches[number].restart for number in chosen]
    return chosen if any(each is None or not each.capsules for each in begun) else (0, *chosen)


class _Rest(NamedTuple):
    """What came of stretches that were replayed from the start, and what stands against that."""

    answers: dict[int, Replayed]
    environments: tuple[EnvironmentLine, ...]
    replays: int
    against: tuple[str, ...] = ()


def _replayed(part: Part, jobs: int, kept: Unfinished) -> Audit:
    """Resumed where that can be, the rest from the start; that comes last, as it covers everything before it."""
    asked, plan = part.asked, part.plan
    pool = LocalPool(part.replays.place, jobs, waiting=part.replays.signals.interruptible, kept=kept.results)
    answers = resumed(part, pool, jobs)
    round_off = partial(up_to_rounding, part, pool, jobs, answers)
    found = {number: each.answer for number, each in answers.items() if isinstance(each.answer, Replayed)}
    environments = [each.environment for each in answers.values() if each.environment is not None]
    count = sum(each.replays for each in answers.values())
    apart = [number for number, each in answers.items() if number not in found and each.reading is not None]
    rounded = round_off(apart) if apart else NOTHING
    found |= rounded.answers
    environments += rounded.environments
    count += rounded.replays
    against: tuple[str, ...] = ()
    if rest := [number for number in plan.chosen if number not in found]:
        begun = _from_start(part, answers, rest, rounded.unsaid, round_off)
        if isinstance(begun, Audit):
            lines = found | _stretches_of(part, begun, answers, rest[-1])
            return with_stretches(begun, asked.recorded, plan, tuple(lines.values()), count)
        found |= begun.answers | rounded.answers
        environments += begun.environments
        count += begun.replays
        against = begun.against
    subject = (asked.reading.run, asked.attempt)
    told = Told(found=tuple(found.values()), environment=_worst(environments), replays=count, against=against)
    return audit_of_stretches(subject, asked.recorded, plan, told)


def _from_start(
    part: Part,
    answers: Mapping[int, Answer],
    rest: Sequence[int],
    unsaid: Mapping[int, str],
    round_off: Callable[[Sequence[int]], UpToRounding],
) -> Audit | _Rest:
    """What a replay from the start says of all stretches up to the last of these; the audit, if that is a mismatch.

    Where all that stands against it is a difference that proves nothing, those that differ, and were not resumed, are
    told up to rounding. `unsaid` is why others were not.
    """
    audit = replayed_from_start(_apart(part.replays, "from-start"), steps=_until(part.plan, rest[-1]))
    if audit.verdict == "mismatch":
        return audit
    found = _stretches_of(part, audit, answers, rest[-1])
    unequal = [number for number in rest if found[number].equal < found[number].steps]
    untried = [number for number in unequal if answers[number].reading is None]
    reasons = len(audit.reasons) - (not audit.environment.verified)  # of a difference that is named one is the reason
    rounded = round_off(untried) if untried and audit.named and reasons == 1 else NOTHING
    for number, said in (*unsaid.items(), *rounded.unsaid.items()):
        if number in unequal:
            found[number] = msgspec.structs.replace(found[number], reason=f"{found[number].reason}; {said}")
    environments, replays = (audit.environment, *rounded.environments), audit.replays + rounded.replays
    if rounded.answers and rounded.answers.keys() >= set(unequal):
        return _Rest({number: found[number] for number in rest} | rounded.answers, environments, replays)
    return _Rest(found | rounded.answers, environments, replays, audit.reasons)


def _until(plan: Plan, number: int) -> int | None:
    """How many Steps a replay from the start has to make for a stretch; `None`: it runs to its end."""
    stretch = plan.stretches[number]
    return None if number + 1 == len(plan.stretches) else stretch.behind + 1


def _worst(environments: list[EnvironmentLine]) -> EnvironmentLine:
    """One that did not verify, if there is one."""
    if not environments:
        return _NEVER_SEEN
    return next((each for each in environments if not each.verified), environments[0])


def _stretches_of(part: Part, audit: Audit, answers: Mapping[int, Answer], last: int) -> dict[int, Replayed]:
    """All stretches up to number `last`, as an audit from the start tells of them."""
    counts, found = part.asked.recorded.steps.values(), {}
    for number, stretch in enumerate(part.plan.stretches[: last + 1]):
        steps = equal = sum(stretch.of(count) for count in counts)
        said = answers[number].answer if number in answers else None
        reason = said if isinstance(said, str) else None
        if audit.verdict != "match":
            reached = audit.named[0].step if audit.named else audit.steps.match // max(1, len(counts))
            equal = sum(stretch.of(min(count, reached)) for count in counts)
            reason = audit.reasons[0] if audit.reasons else f"step {reached} differs"
        found[number] = Replayed(number=number, means="start", steps=steps, equal=equal, reason=reason)
    return found


def _apart(replays: Replays, name: str) -> Replays:
    """The same, in a folder of its own; what other replays left is not seen from there."""
    task = msgspec.structs.replace(replays.task, hidden=(*replays.task.hidden, *earlier_replays(replays)))
    return replays._replace(place=new_folder(replays.place, name), task=task)
