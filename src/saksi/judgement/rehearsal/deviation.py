"""In what one seal file's rehearsal is not another's, for whoever compares two files before approving one."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from saksi.judgement.deviations import Deviation, Weight
from saksi.judgement.machines import machine_of
from saksi.judgement.rehearsal.compare import NOT_CHECKABLE, compare
from saksi.judgement.rehearsal.values import Rehearsal, RehearsedCode
from saksi.judgement.seal import Hardware

__all__ = ["rehearsal_deviations"]

_FIELD = "rehearsal"


def rehearsal_deviations(
    before: tuple[Rehearsal, Hardware] | None, after: tuple[Rehearsal, Hardware] | None
) -> tuple[Deviation, ...]:
    """The differences in the steps that both rehearsed, once each, whichever ranks have them.

    A file without a rehearsal approves less and not something else: that is told.
    """
    if before is None or after is None:
        if before is after:
            return ()
        sentence = "Only B was rehearsed." if before is None else "Only A was rehearsed."
        return (Deviation(weight="told", field=_FIELD, subject=_FIELD, sentence=sentence),)
    ranks = {each.rank: each for each in after[0].ranks}
    machines = (machine_of(before[1]), machine_of(after[1]))
    found: dict[str, Deviation] = {}
    for rank in before[0].ranks:
        for each in compare(rank, ranks[rank.rank], machines) if rank.rank in ranks else ():
            weight: Weight = "unknown" if each.code == NOT_CHECKABLE else "matters"
            deviation = Deviation(weight=weight, field=_FIELD, subject=each.subject, sentence=each.sentence)
            found.setdefault(each.sentence, deviation)
    if {*ranks} != {each.rank for each in before[0].ranks}:
        sentence = f"{len(ranks)} processes were rehearsed, not {len(before[0].ranks)}."
        found[sentence] = Deviation(weight="matters", field=_FIELD, subject="ranks", sentence=sentence)
    return (*found.values(), *_code_deviations(before[0], after[0]))


def _code_deviations(before: Rehearsal, after: Rehearsal) -> Iterator[Deviation]:
    """Places of live code that only one of them approves, or each with other code."""
    old, new = ({(each.place, each.name): each for each in _code_of(one)} for one in (before, after))
    for place in sorted({*old, *new}):
        if old.get(place) == new.get(place):
            continue
        how = "only in A" if place not in new else "only in B" if place not in old else "with other code in B"
        sentence = f"Live code at {place[1]} ({place[0]}) is not as its source says {how}."
        yield Deviation(weight="matters", field=_FIELD, subject=place[1], sentence=sentence)


def _code_of(rehearsal: Rehearsal) -> tuple[RehearsedCode, ...]:
    return () if rehearsal.code is msgspec.UNSET else rehearsal.code
