"""In what one seal file's rehearsal is not another's, for whoever compares two files before approving one."""

from __future__ import annotations

from saksi.judgement.deviations import Deviation, Weight
from saksi.judgement.rehearsal.compare import NOT_CHECKABLE, compare, place_of
from saksi.judgement.rehearsal.values import Rehearsal
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
    places = (place_of(before[1]), place_of(after[1]))
    found: dict[str, Deviation] = {}
    for rank in before[0].ranks:
        for each in compare(rank, ranks[rank.rank], places) if rank.rank in ranks else ():
            weight: Weight = "unknown" if each.code == NOT_CHECKABLE else "matters"
            deviation = Deviation(weight=weight, field=_FIELD, subject=each.subject, sentence=each.sentence)
            found.setdefault(each.sentence, deviation)
    if {*ranks} != {each.rank for each in before[0].ranks}:
        sentence = f"{len(ranks)} processes were rehearsed, not {len(before[0].ranks)}."
        found[sentence] = Deviation(weight="matters", field=_FIELD, subject="ranks", sentence=sentence)
    return tuple(found.values())
