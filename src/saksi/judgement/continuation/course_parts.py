"""Generators, hyper-parameters, data order, and steps that were done twice: the course of training at the seam.

Rules: where the earlier attempt made the Step behind the seam itself, that Step is what the first one of the later
attempt is compared with. Where it did not, only what an attempt that went on could not show is said to differ: a
schedule may jump just there, and an epoch may end. The rest is "not checkable", with the reason.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from saksi.judgement.continuation.data_order import data_order
from saksi.judgement.continuation.earlier import Earlier
from saksi.judgement.continuation.hyper_parameters import hyper_parameters
from saksi.judgement.continuation.later import Later
from saksi.judgement.continuation.repeated_steps import repeated_steps
from saksi.judgement.continuation.values import Part, Sameness
from saksi.words.frames import UpdateFrame

__all__ = ["course_parts"]

_EXAMPLES: Final = 8
_SAME: Final[Sameness] = "same"
_DIFFERS: Final[Sameness] = "differs"
_UNKNOWN: Final[Sameness] = "not_checkable"


def course_parts(earlier: Earlier, later: Later, rank: int) -> Iterator[Part]:
    """One part for each of them that either side has."""
    at, first = earlier.at, later.first
    if at is None or first is None:
        where = f"step {earlier.step}" if at is None else "the first step of the attempt that continues"
        reason = f"generators, schedule and data order cannot be compared: {where} is not in the record"
        yield Part(name="generators", outcome="not_checkable", rank=rank, sentence=reason)
        return
    yield from _generators(earlier, at, first, rank)
    yield from hyper_parameters(earlier, later, rank)
    yield from data_order(earlier, later, at, rank)
    yield from repeated_steps(earlier, later, rank)


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
