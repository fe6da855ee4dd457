"""Whether state that was sampled as one Update returned is the same as the next one begins. Pure.

Rules: only of samples of one layout, so that they are of the same tensors; what is kept once for each tensor is in both
as it is, of the rest the few elements that were read ahead. What is no number is the same as any other that is none.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from saksi.judgement.updates.samples import AHEAD, ONE_EACH, Layout, name_of, numbers
from saksi.words.frames import SampleFrame

__all__ = ["Changed", "changed_between", "kept_until_the_next"]

NEAR: Final = 5e-3
"""How near to each other quotients lie that are taken for one factor: rounding to bfloat16 is less."""


class Changed(msgspec.Struct, frozen=True, kw_only=True):
    """State of one tensor that is another as an Update begins than as the one before it returned.

    `times` is by how much it was multiplied, where all that was looked at was multiplied by one number; `was` and
    `now` are what is kept once for the tensor, as a step counter.
    """

    tensor: str
    state: str
    times: float | None = None
    was: float | None = None
    now: float | None = None


def kept_until_the_next(frame: SampleFrame) -> SampleFrame:
    """Of the samples of an Update what is compared with the next one's."""
    after = {name: text for name, text in frame.after.items() if name in ONE_EACH}
    return msgspec.structs.replace(frame, before={}, after=after, idle=[], finished=None)


def changed_between(layout: Layout, ended: SampleFrame, begins: SampleFrame) -> Iterator[Changed]:
    """State that differs between the end of one Update and the begin of the next. Raises `MalformedInput`."""
    counts = [min(each.count, AHEAD) for each in layout.tensors]
    for name, text in {**ended.after, **ended.ahead}.items():
        later = begins.before.get(name)
        if later is None or (name not in ONE_EACH and name not in ended.ahead):
            continue
        before = numbers(layout, name, text, count=sum(counts))
        now = numbers(layout, name, later, count=layout.elements)
        if name in ONE_EACH:
            yield from _of_one_each(layout, name, before, now)
        else:
            yield from _of_several(layout, name, before, now, counts)


def _of_one_each(layout: Layout, name: str, before: Sequence[float], now: Sequence[float]) -> Iterator[Changed]:
    for tensor, a, b in zip(layout.tensors, before, now, strict=True):
        if not _is_same(a, b):
            yield Changed(tensor=name_of(tensor), state=name, was=a, now=b)


def _of_several(
    layout: Layout, name: str, before: Sequence[float], now: Sequence[float], counts: Sequence[int]
) -> Iterator[Changed]:
    at = of_all = 0
    for tensor, count in zip(layout.tensors, counts, strict=True):
        pair = before[at : at + count], now[of_all : of_all + count]
        at, of_all = at + count, of_all + tensor.count
        if not all(map(_is_same, *pair)):
            yield Changed(tensor=name_of(tensor), state=name, times=_times(*pair))


def _is_same(a: float, b: float) -> bool:
    return a == b or (math.isnan(a) and math.isnan(b))


def _times(before: Sequence[float], now: Sequence[float]) -> float | None:
    """The one factor between two rows of numbers, if there is one."""
    pairs = list(zip(before, now, strict=True))
    if any((a == 0.0) != (b == 0.0) or not math.isfinite(a) or not math.isfinite(b) for a, b in pairs):
        return None
    found = [b / a for a, b in pairs if a != 0.0]
    if not found or not all(math.isfinite(each) and abs(each - found[0]) <= NEAR * abs(found[0]) for each in found):
        return None
    return found[0]
