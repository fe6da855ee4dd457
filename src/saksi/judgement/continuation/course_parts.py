"""Generators, hyper-parameters, data order, and steps that were done twice: the course of training at the seam.

Rules: where the earlier attempt made the Step behind the seam itself, that Step is what the first one of the later
attempt is compared with. Where it did not, only what cannot be honest is said to differ: a course that begins again
as the earlier attempt began. Anything else is "not checkable", with the reason.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any, Final

import msgspec

from saksi.judgement.continuation.sides import Earlier, Later, batches_of
from saksi.judgement.continuation.values import Part, Sameness
from saksi.words.frames import Batch, UpdateFrame

__all__ = ["course_parts"]

_EXAMPLES: Final = 8
_SAME: Final[Sameness] = "same"
_DIFFERS: Final[Sameness] = "differs"
_UNKNOWN: Final[Sameness] = "not_checkable"
_JUMP: Final = 4.0
"""A schedule may go on by this many times its largest step of late before that is called a jump."""


def course_parts(earlier: Earlier, later: Later, rank: int) -> Iterator[Part]:
    """One part for each of them that either side has."""
    at, first = earlier.at, later.first
    if at is None or first is None:
        where = f"step {earlier.step}" if at is None else "the first step of the attempt that continues"
        reason = f"generators, schedule and data order cannot be compared: {where} is not in the record"
        yield Part(name="generators", outcome="not_checkable", rank=rank, sentence=reason)
        return
    yield from _generators(earlier, at, first, rank)
    yield from _hyper_parameters(earlier, at, first, rank)
    yield from _data_order(earlier, later, at, rank)
    yield from _repeated(earlier, later, rank)


# -- generators


def _generators(earlier: Earlier, at: UpdateFrame, first: UpdateFrame, rank: int) -> Iterator[Part]:
    used = sorted(name for name in at.rng if name in earlier.moved)
    if not used:
        return
    found = {name: _generator(name, earlier, at, first) for name in used}
    outcome: Sameness
    apart = [name for name, (outcome, _) in found.items() if outcome == "differs"]
    unknown = [name for name, (outcome, _) in found.items() if outcome == "not_checkable"]
    if apart:
        listed = ", ".join(f"{name} ({found[name][1]})" for name in apart[:_EXAMPLES])
        outcome, sentence = _DIFFERS, f"generator states were not restored: {listed}"
    elif unknown:
        listed = ", ".join(f"{name} ({found[name][1]})" for name in unknown[:_EXAMPLES])
        outcome, sentence = _UNKNOWN, f"generator states cannot be compared: {listed}"
    else:
        outcome, sentence = _SAME, f"generator states are the same ({', '.join(used[:_EXAMPLES])})"
    yield Part(
        name="generators",
        outcome=outcome,
        rank=rank,
        sentence=sentence,
        differing=len(apart),
        of=len(used),
        examples=tuple((apart or unknown)[:_EXAMPLES]),
    )


def _generator(name: str, earlier: Earlier, at: UpdateFrame, first: UpdateFrame) -> tuple[Sameness, str]:
    after, began = first.rng.get(name), earlier.first
    if after is None:
        return "not_checkable", "it is not in the later record"
    again = began is not None and began.rng.get(name) == after and after != at.rng[name]
    if earlier.next is not None and name in earlier.next.rng:
        if earlier.next.rng[name] == after:
            return "same", "after the next step it is where it was"
        return "differs", "it starts again" if again else "another state after the next step"
    if again:
        return "differs", "it starts again"
    before = earlier.before[-2].rng.get(name) if len(earlier.before) > 1 else None
    if before == at.rng[name] == after:
        return "same", "nothing was drawn from it"
    return "not_checkable", f"no step after step {at.update} is in the earlier record"


# -- hyper-parameters


def _hyper_parameters(earlier: Earlier, at: UpdateFrame, first: UpdateFrame, rank: int) -> Iterator[Part]:
    fields = _flat(at.groups)
    if not fields:
        return
    now = _flat(first.groups)
    following = None if earlier.next is None else _flat(earlier.next.groups)
    apart: list[tuple[str, str]] = []
    for name in sorted({*fields, *now}):
        said = _field(name, earlier, fields, following, now)
        if said is not None:
            apart.append((name, said))
    count = len({*fields, *now})
    if not apart:
        rates = _rates(fields, now)
        same = f"hyper-parameters go on ({count:,} fields{rates})"
        yield Part(name="hyper_parameters", outcome="same", rank=rank, sentence=same, of=count)
        return
    apart.sort(key=lambda each: not each[0].endswith(".lr"))
    yield Part(
        name="hyper_parameters",
        outcome="differs",
        rank=rank,
        sentence=apart[0][1],
        differing=len(apart),
        of=count,
        examples=tuple(name for name, _ in apart[:_EXAMPLES]),
    )


def _flat(groups: list[dict[str, Any]]) -> dict[str, Any]:
    return {f"groups[{at}].{name}": value for at, group in enumerate(groups) for name, value in group.items()}


def _field(
    name: str, earlier: Earlier, fields: dict[str, Any], following: dict[str, Any] | None, now: dict[str, Any]
) -> str | None:
    """What is to be said of this field, or `None` if it goes on."""
    value, old = now.get(name), fields.get(name)
    what = f"the learning rate ({name})" if name.endswith(".lr") else name
    began = None if earlier.first is None else _flat(earlier.first.groups).get(name)
    if following is not None:
        if value == following.get(name):
            return None
        if value == began:
            return f"{what} starts again at {_shown(value)}; it had gone on to {_shown(following.get(name))}"
        return f"{what} is {_shown(value)}, and was {_shown(following.get(name))} at the same step"
    if value == old:
        return None
    late = [_flat(each.groups).get(name) for each in earlier.before]
    if value == began and began != old:
        return f"{what} starts again at {_shown(value)}; it had come to {_shown(old)}"
    if _goes_on(late, old, value):
        return None
    return f"{what} goes from {_shown(old)} to {_shown(value)}, unlike in the steps before"


def _goes_on(late: list[Any], old: object, value: object) -> bool:
    """Whether a number that had been moving goes on by steps of a size that it had."""
    numbers = [each for each in late if isinstance(each, int | float)]
    if not isinstance(value, int | float) or not isinstance(old, int | float) or len(numbers) != len(late):
        return False
    steps = [abs(b - a) for a, b in pairwise(numbers)]
    return abs(value - old) <= _JUMP * max(steps, default=0.0)


def _rates(fields: dict[str, Any], now: dict[str, Any]) -> str:
    name = next((each for each in fields if each.endswith(".lr")), None)
    if name is None or name not in now:
        return ""
    return f"; learning rate {_shown(fields[name])}, then {_shown(now[name])}"


def _shown(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return "not there" if value is None else msgspec.json.encode(value).decode()[:60]


# -- data order


def _data_order(earlier: Earlier, later: Later, at: UpdateFrame, rank: int) -> Iterator[Part]:
    if not any(each.batches or each.batches_omitted for each in (at, *earlier.after[:1], *later.updates[:2])):
        return  # no DataLoader handed out anything on either side
    outcome, sentence = _order(earlier, later, max(1, earlier.width(at)))
    yield Part(name="data_order", outcome=outcome, rank=rank, sentence=sentence)


def _order(earlier: Earlier, later: Later, width: int) -> tuple[Sameness, str]:
    """The first of the later Steps whose own batches are in the record decides."""
    for number, update in enumerate(later.updates[:2]):
        used = batches_of(update, width)
        if used is None or any(each.digest is None for each in used):
            continue
        twin = next((each for each in earlier.after if each.update == earlier.step + 1 + number), None)
        expected = None if twin is None else batches_of(twin, width)
        if expected is not None:
            if [each.digest for each in expected] == [each.digest for each in used]:
                return "same", "the data goes on: the next batch is the one that came next"
            place = _seen(earlier, used[0], number)
            if place is None:
                return "differs", f"the data goes on with another batch than at step {earlier.step + 1 + number} before"
            return "differs", place
        return _unpaired(earlier, used, number)
    return "not_checkable", "the data order cannot be compared: the batches of the first steps have no digest"


def _unpaired(earlier: Earlier, used: list[Batch], number: int) -> tuple[Sameness, str]:
    digest = used[0].digest or ""
    if digest not in earlier.seen:
        return "same", "the data goes on with a batch that had not been used"
    if earlier.period is not None and (earlier.step + 1 + number - earlier.seen[digest]) % earlier.period == 0:
        return "same", "the data goes on: epochs repeat their order, and this batch is the next"
    place = _seen(earlier, used[0], number) or ""
    if _in_order(used[0].ids):
        return "not_checkable", f"{place}; the data is read in order, and an epoch may have ended just there"
    return "differs", place


def _seen(earlier: Earlier, batch: Batch, number: int) -> str | None:
    step = earlier.seen.get(batch.digest or "")
    if step is None:
        return None
    begun = 0 if earlier.first is None else earlier.first.update
    if step == begun + number:
        return "the data order starts again at the first batch"
    return f"the data goes back: its first batch was used at step {step}"


def _in_order(ids: list[int] | None) -> bool:
    """Whether a batch may be one of a data set that is read from its start to its end; unknown ids may."""
    return ids is None or ids == list(range(ids[0], ids[0] + len(ids)))


# -- steps that were done twice


def _repeated(earlier: Earlier, later: Later, rank: int) -> Iterator[Part]:
    count = apart = 0
    said = ""
    for a, b in zip(earlier.after, later.updates, strict=False):
        if a.update != earlier.step + 1 + b.update:
            break
        count += 1
        for name, one, other in (
            ("loss", a.loss, b.loss),
            ("gradient norm", _norm(a), _norm(b)),
        ):
            if one != other:
                said = said or f"step {a.update} was done again with another {name}: {_shown(one)} and {_shown(other)}"
                apart += 1
                break
    if not count:
        return
    same = f"{count:,} {'step was' if count == 1 else 'steps were'} done again with the same loss and gradient norm"
    yield Part(
        name="repeated_steps",
        outcome="differs" if apart else "same",
        rank=rank,
        sentence=said or same,
        differing=apart,
        of=count,
    )


def _norm(frame: UpdateFrame) -> object:
    return None if frame.gradient_norm is None else frame.gradient_norm.value
