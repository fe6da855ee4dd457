"""What a run saved beside what its replay saved: the same files behind the same Steps, with the same bytes.

Rules: a file is known by its name, whatever its folder is called, by the rank and the Step behind which it was saved;
of several such the order does not matter. What differs proves nothing: programs write times and paths into what they
save, and some save by the clock. So it is told, and decides no verdict.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import zip_longest
from pathlib import PurePath
from typing import Final

import msgspec

from saksi.judgement.items import Item
from saksi.judgement.replay.recorded import Recorded
from saksi.judgement.replay.values import SavedFile, SavedFiles, SavedHow
from saksi.words.records import FileRecord

__all__ = ["MAX_SAVED", "Saved", "last_compared", "saved_beside", "saved_of"]

MAX_SAVED: Final = 10_000
"""Of one attempt; where there are more, nothing is compared."""
MAX_NAMED: Final = 16
"""Told by name; the others are counted."""


class Saved(msgspec.Struct, frozen=True, kw_only=True):
    """A file as it was saved: its content as the agent read it, else as the job said; `None` where neither is known."""

    path: str
    rank: int
    step: int
    content: str | None


def saved_of(items: Iterable[Item], attempt: int) -> tuple[Saved, ...]:
    """The first `MAX_SAVED` + 1, in the order of the log. Raises what reading the items raises."""
    found: list[Saved] = []
    for item in items:
        record = item.record
        if isinstance(record, FileRecord) and (record.attempt, record.action) == (attempt, "saved"):
            content = record.digest or record.claimed_digest
            found.append(Saved(path=record.path, rank=record.rank, step=record.step, content=content))
            if len(found) > MAX_SAVED:
                break
    return tuple(found)


def last_compared(recorded: Recorded, replayed: Recorded, *, ended: bool) -> int | None:
    """The Step that bounds what can be compared; `None` where all can. `ended`: somebody ended the replay.

    Where one of them went on, what it saved behind the last Step of the other may only have been still to come there.
    """
    if not ended and recorded.steps == replayed.steps:
        return None
    return min((*recorded.last.values(), *replayed.last.values()), default=0)


def saved_beside(
    recorded: tuple[Saved, ...], replayed: tuple[Saved, ...], *, before: int | None = None
) -> SavedFiles | None:
    """How the files of both agree, those behind Steps `before` that one if it is given.

    `None` where there are none, or too many.
    """
    if max(len(recorded), len(replayed)) > MAX_SAVED:
        return None
    if before is not None:
        recorded, replayed = (tuple(each for each in of if each.step < before) for of in (recorded, replayed))
    if not recorded and not replayed:
        return None
    ours, theirs = _by_place(recorded), _by_place(replayed)
    equal = 0
    apart: list[SavedFile] = []
    for place in {**ours, **theirs}:
        same, others = _paired(ours.get(place, []), theirs.get(place, []))
        equal += same
        apart += (_told(one, two) for one, two in others)
    apart.sort(key=lambda each: (each.step, each.rank, each.path))
    return SavedFiles(equal=equal, differing=len(apart), named=tuple(apart[:MAX_NAMED]))


_Place = tuple[str, int, int]
_Pair = tuple[Saved | None, Saved | None]


def _by_place(saved: tuple[Saved, ...]) -> dict[_Place, list[Saved]]:
    found: dict[_Place, list[Saved]] = {}
    for each in saved:
        found.setdefault((PurePath(each.path).name, each.rank, each.step), []).append(each)
    return found


def _paired(ours: list[Saved], theirs: list[Saved]) -> tuple[int, list[_Pair]]:
    """How many have the same content, in whatever order, and pairs of the others."""
    left = list(theirs)
    others = []
    for one in ours:
        two = next((each for each in left if one.content is not None and each.content == one.content), None)
        if two is None:
            others.append(one)
        else:
            left.remove(two)
    return len(ours) - len(others), list(zip_longest(others, left))


def _told(one: Saved | None, two: Saved | None) -> SavedFile:
    saved = one or two
    how: SavedHow = "other content"
    if one is None or two is None:
        how = "in the replay alone" if one is None else "in the record alone"
    elif one.content is None or two.content is None:
        how = "not known"
    if saved is None:
        raise ValueError("neither of a pair is there")
    return SavedFile(path=saved.path, rank=saved.rank, step=saved.step, how=how)
