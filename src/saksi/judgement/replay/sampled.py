"""The verdict of an audit of some stretches: what was replayed equal, of how much, and what that would have met.

Rules: `match` is said only if every stretch that was to be replayed is equal, in an environment that verified; a
mismatch is that of a replay from the start, and whatever else was replayed changes nothing of it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import pairwise

import msgspec

from saksi.judgement.replay.drawing import Draw
from saksi.judgement.replay.probability import meets, spread
from saksi.judgement.replay.recorded import Recorded
from saksi.judgement.replay.stretches import Means, Stretch
from saksi.judgement.replay.values import (
    Audit,
    Detects,
    EnvironmentLine,
    ReplayCoverage,
    ReplaySteps,
    ReplayVerdict,
    Sampled,
    Segments,
    Split,
    StretchLine,
)

__all__ = ["Plan", "Replayed", "Told", "audit_of_stretches", "with_stretches"]


class Replayed(msgspec.Struct, frozen=True, kw_only=True):
    """One stretch by its number, over all ranks: `equal` of `steps` Steps are as recorded.

    With `split` they are those of its first Step, in that tier; `reason` is why the stretch is not equal.
    """

    number: int
    means: Means
    steps: int
    equal: int
    reason: str | None = None
    split: Split | None = None


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What was to be replayed: stretches by number; `always` are taken in any case, `draw` is how others were drawn."""

    stretches: tuple[Stretch, ...]
    chosen: tuple[int, ...]
    always: frozenset[int]
    draw: Draw | None
    resume: tuple[str, ...] | None = None


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it: one of `found` for each stretch that was replayed, in how many replays.

    `against` is what stands against a replay from the start, whatever is equal in it.
    """

    found: tuple[Replayed, ...]
    environment: EnvironmentLine
    replays: int
    against: tuple[str, ...] = ()


def audit_of_stretches(subject: tuple[str, int], recorded: Recorded, plan: Plan, told: Told) -> Audit:
    """The audit, where no replay from the start differs. `subject` is the run and its attempt."""
    run, attempt = subject
    found, environment = told.found, told.environment
    match = sum(each.equal for each in found)
    reasons = [*told.against]
    if not environment.verified and not told.against:
        why = environment.differences[0] if environment.differences else "nothing approved says what it should be"
        reasons.append(f"the environment did not verify: {why}")
    if not reasons:
        reasons += [each.reason or "a stretch is not as recorded" for each in found if each.equal < each.steps]
    if not match and not reasons:
        reasons.append("nothing was replayed")
    verdict: ReplayVerdict = "not_checkable" if reasons else "match"
    replayed = sum(each.steps for each in found)
    return Audit(
        run=run,
        attempt=attempt,
        verdict=verdict,
        tier="split" if any(each.split is not None and each.equal for each in found) else "exact",
        environment=environment,
        steps=ReplaySteps(
            total=recorded.total, replayed=replayed, match=match, mismatch=0, not_checkable=recorded.total - match
        ),
        coverage=_coverage(recorded, plan, found),
        first_bad_step=None,
        named=(),
        replays=told.replays,
        saved=None,
        distance=None,
        sampled=_lines(plan, found),
        reasons=tuple(reasons),
        sentence=_sentence(verdict, recorded, plan, found, reasons),
    )


def with_stretches(audit: Audit, recorded: Recorded, plan: Plan, found: Sequence[Replayed], replays: int) -> Audit:
    """The audit of a replay from the start that differs, as one of the whole run. `replays` came before it."""
    steps = msgspec.structs.replace(
        audit.steps, total=recorded.total, not_checkable=recorded.total - audit.steps.match - audit.steps.mismatch
    )
    reached = audit.steps.replayed
    coverage = ReplayCoverage(
        fraction=reached / recorded.total if recorded.total else 0.0,
        segments=Segments(total=recorded.segments, replayed=audit.coverage.segments.replayed),
        detects=audit.coverage.detects,
    )
    return msgspec.structs.replace(
        audit, steps=steps, coverage=coverage, replays=audit.replays + replays, sampled=_lines(plan, found)
    )


def _lines(plan: Plan, found: Sequence[Replayed]) -> Sampled:
    lines = tuple(
        StretchLine(
            first_step=plan.stretches[each.number].first,
            last_step=plan.stretches[each.number].behind - 1,
            means=each.means,
            equal=each.split is None and each.equal == each.steps,
            split=each.split,
            reason=each.reason,
        )
        for each in sorted(found, key=lambda one: one.number)
    )
    return Sampled(total=len(plan.stretches), stretches=lines, draw=plan.draw, resume=plan.resume)


def _coverage(recorded: Recorded, plan: Plan, found: Sequence[Replayed]) -> ReplayCoverage:
    equal = {each.number for each in found if each.split is None and each.equal == each.steps}
    steps = sum(each.equal for each in found if each.number in equal)
    reached = steps + sum(each.equal for each in found if each.split is not None)
    return ReplayCoverage(
        fraction=reached / recorded.total if recorded.total else 0.0,
        segments=Segments(total=recorded.segments, replayed=_segments(recorded, [plan.stretches[at] for at in equal])),
        detects=_detects(recorded, plan, equal, steps),
    )


def _detects(recorded: Recorded, plan: Plan, equal: set[int], steps: int) -> Detects:
    """For the worst place: a stretch that is not always taken, and none that a replay from the start met by the way.

    What was named and not drawn meets nothing that was done elsewhere; nor does one Step that is as near as rounding.
    """
    if len(equal) == len(plan.stretches):
        return Detects(one_segment=1.0, spread=spread(recorded.total, steps))
    if plan.draw is None:
        return Detects(one_segment=0.0, spread=spread(recorded.total, 0))
    others = len(plan.stretches) - len(plan.always)
    drawn = len((equal & set(plan.chosen)) - plan.always)
    return Detects(one_segment=meets(others, min(1, others), drawn), spread=spread(recorded.total, steps))


def _segments(recorded: Recorded, replayed: Collection[Stretch]) -> int:
    """Those between two roots of one rank that lie within a stretch."""
    count = 0
    for rank in {rank for rank, _ in recorded.roots}:
        steps = sorted(step for one, step in recorded.roots if one == rank)
        count += sum(
            any(each.first <= before + 1 and after < each.behind for each in replayed)
            for before, after in pairwise(steps)
        )
    return count


def _sentence(
    verdict: ReplayVerdict, recorded: Recorded, plan: Plan, found: Sequence[Replayed], reasons: Sequence[str]
) -> str:
    if verdict != "match":
        return f"Not checkable: {'; '.join(reasons)}."
    match = sum(each.equal for each in found)
    splits = [each for each in found if each.split is not None]
    if splits:
        return _split_sentence(match - sum(each.equal for each in splits), splits, recorded.total)
    same = "are bit for bit what the sealed program does in the verified environment"
    if match == recorded.total:
        return f"All {match} steps {same}."
    count = f"{len(plan.chosen)} of {len(plan.stretches)} stretches"
    return f"{match} of {recorded.total} steps were replayed, in {count}, and {same}."


def _split_sentence(exact: int, splits: Sequence[Replayed], total: int) -> str:
    """What is so of single Steps, and how much nearer than a changed label the furthest of them is."""
    count = sum(each.equal for each in splits)
    seen = [each.split for each in splits if each.split is not None]
    slack = max(each.slack or 0.0 for each in seen)
    planted = min((each.planted for each in seen if each.planted is not None), default=None)
    before = f"{exact} of {total} steps are bit for bit what the sealed program does. " if exact else ""
    label = "" if planted is None else f"; one changed label: {planted:,.3g} times"
    elements = sum(each.elements for each in seen)
    return (
        f"{before}{count} of {total} steps are what the sealed program does, up to rounding: each begins with the "
        "state of the record, and what that has of its data, random numbers and hyper-parameters is the same, bit for "
        f"bit; in {elements:,} sampled elements its gradient is within what rounding does here (at most {slack:.2g} of "
        f"what is allowed{label}), and its update is what the optimizer makes of that."
    )
