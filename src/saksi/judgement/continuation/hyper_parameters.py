"""Whether every optimizer's hyper-parameters go on.

Rules: a value is held against what the earlier attempt itself came to next. Where its record ends before, a number
that moves as it moved before goes on, and nothing else is said to differ: schedules have steps, and cycles begin again.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any, Final, TypeAlias

import msgspec

from saksi.judgement.continuation.earlier import Earlier
from saksi.judgement.continuation.later import Later
from saksi.judgement.continuation.settings import MAX_OPTIMIZERS, Groups, Settings
from saksi.judgement.continuation.values import Part, Sameness, shown
from saksi.words.frames import UpdateFrame

__all__ = ["hyper_parameters"]

_EXAMPLES: Final = 8
_JUMP: Final = 4.0
"""A schedule may go on by this many times its largest step of late before that is called a jump."""

_Fields: TypeAlias = dict[str, Any]
_Named: TypeAlias = tuple[str, str]
"""A field, and what is to be said of it."""


class _Course(msgspec.Struct, frozen=True):
    """One optimizer's fields by their full names, as `Settings` has them."""

    began: _Fields
    late: list[_Fields]
    following: list[_Fields]
    complete: bool


class _Found(msgspec.Struct):
    """What was found of all optimizers so far."""

    apart: list[_Named] = msgspec.field(default_factory=list)
    unknown: list[_Named] = msgspec.field(default_factory=list)
    fields: int = 0
    optimizers: int = 0


def hyper_parameters(earlier: Earlier, later: Later, rank: int) -> Iterator[Part]:
    """One part over all optimizers; none where no update has any."""
    found = _Found()
    for number in sorted({*earlier.settings, *later.firsts}):
        _compare(number, earlier.settings.get(number), later.firsts.get(number), found)
    if earlier.more_optimizers or later.more_optimizers:
        found.unknown.append((f"optimizers[{MAX_OPTIMIZERS}]", f"those of optimizers from number {MAX_OPTIMIZERS} on"))
    if found.fields or found.unknown:
        yield _part(found, earlier, later, rank)


def _part(found: _Found, earlier: Earlier, later: Later, rank: int) -> Part:
    named = sorted(found.apart or found.unknown, key=lambda each: not each[0].endswith(".lr"))
    outcome: Sameness = "differs" if found.apart else "not_checkable" if found.unknown else "same"
    if outcome == "same":
        several = f" of {found.optimizers:,} optimizers" if found.optimizers > 1 else ""
        sentence = f"hyper-parameters go on ({found.fields:,} fields{several}{_rates(earlier, later)})"
    else:
        sentence = named[0][1] if found.apart else f"hyper-parameters cannot be compared: {named[0][1]}"
    return Part(
        name="hyper_parameters",
        outcome=outcome,
        rank=rank,
        sentence=sentence,
        differing=len(found.apart),
        of=found.fields,
        examples=tuple(name for name, _ in named[:_EXAMPLES]),
    )


def _compare(number: int, settings: Settings | None, first: UpdateFrame | None, found: _Found) -> None:
    last = None if settings is None else settings.last
    place = f"optimizers[{number}]." if number else ""
    if settings is None or last is None or first is None or first.update != 0:
        found.unknown.append((place, f"no update of optimizer {number} at the seam is in both records"))
        return
    old, now = _flat(last), _flat(first.groups)
    names = {*old, *now}
    if settings.omitted or first.groups_omitted:
        names = {*old} & {*now}
        found.unknown.append((place, f"not all groups of optimizer {number} are in the record"))
    found.fields += len(names)
    found.optimizers += 1
    course = _Course(
        began=_flat(settings.first or []),
        late=[_flat(each) for each in settings.late],
        following=[_flat(each) for each in settings.following],
        complete=settings.complete,
    )
    for name in sorted(names):
        rate = name.endswith(".lr")
        outcome, said = _field(name, course, now.get(name))
        if outcome != "same":
            what = f"the learning rate ({place}{name})" if rate else f"{place}{name}"
            (found.apart if outcome == "differs" else found.unknown).append((f"{place}{name}", f"{what} {said}"))


def _flat(groups: Groups) -> _Fields:
    return {f"groups[{at}].{name}": value for at, group in enumerate(groups) for name, value in group.items()}


def _field(name: str, course: _Course, value: object) -> tuple[Sameness, str]:
    """Whether this field goes on with `value`, and what is to be said if it does not."""
    following = [each.get(name) for each in course.following]
    late = [each.get(name) for each in course.late]
    if value in following:
        return "same", ""
    again = value == course.began.get(name)
    if course.complete:
        if again:
            return "differs", f"starts again at {shown(value)}; it had gone on to {shown(following[0])}"
        return "differs", f"is {shown(value)}, and was {shown(following[0])} at the same step"
    old = late[-1] if late else None
    if value == old or (not again and _goes_on(late, old, value)):
        return "same", ""
    ended = "the earlier record does not show what came next"
    if again:
        return "not_checkable", f"starts again at {shown(value)}; it had come to {shown(old)}, and {ended}"
    return "not_checkable", f"goes from {shown(old)} to {shown(value)}, unlike in the steps before, and {ended}"


def _goes_on(late: list[Any], old: object, value: object) -> bool:
    """Whether a number that had been moving goes on by steps of a size that it had."""
    numbers = [each for each in late if isinstance(each, int | float)]
    if not isinstance(value, int | float) or not isinstance(old, int | float) or len(numbers) != len(late):
        return False
    steps = [abs(b - a) for a, b in pairwise(numbers)]
    return abs(value - old) <= _JUMP * max(steps, default=0.0)


def _rates(earlier: Earlier, later: Later) -> str:
    """The first learning rate of optimizer 0, before and after."""
    if earlier.at is None or later.first is None:
        return ""
    old, now = _flat(earlier.at.groups), _flat(later.first.groups)
    name = next((each for each in old if each.endswith(".lr")), None)
    return "" if name is None or name not in now else f"; learning rate {shown(old[name])}, then {shown(now[name])}"
