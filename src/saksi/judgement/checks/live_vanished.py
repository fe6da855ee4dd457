"""Places whose function is gone, or has become an object of another kind, after the first inventory.

The recorder says of a place that it no longer finds that it is gone; and of a place where something stands that is no
plain function, what kind of object it is. What stands behind such an object is judged like everything else; that it
stands there is said here, where nothing else was. Nothing is alleged: `functools.partial` and callable objects are
ordinary ways to adapt a function, and a script may remove what it has put in itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from saksi.judgement.checks.live_judging import CODE_OF
from saksi.judgement.checks.live_places import Place, View
from saksi.judgement.checks.live_said import HONEST, Said, Since
from saksi.words.findings import Severity

__all__ = ["is_gone", "judge_gone", "judge_kind"]

GONE: Final = "gone"
KINDS: Final = ("object of ", "class ")
"""The recorder's words, `spec/frames.md`."""

_LOOKED_UP: Final = frozenset({"module", "class", "builtin"})
"""Where a caller finds something else, or nothing, once the function is gone. A hook that is taken out does no more."""


def is_gone(place: Place) -> bool:
    """Whether nothing is found at the place any more."""
    return not place.pieces and place.notes == (GONE,)


def judge_gone(place: Place, since: Since, view: View) -> Iterator[Said]:
    """What is to be said of a place that is gone: nothing of one that nobody knew."""
    before = since.before
    if before is None or is_gone(before):
        return
    what = _what_it_was(before)
    message = f"{what} is not found there any more after the first update; another way to it may be in use. {HONEST}"
    yield Said(CODE_OF[place.place], _severity(place, view), place.name, message)


def judge_kind(place: Place, since: Since, view: View) -> Iterator[Said]:
    """What is to be said of a place where a plain function stood, and something of another kind stands now."""
    before = since.before
    if before is None or since.first or not before.pieces:
        return
    kinds = [each for each in place.notes if each.startswith(KINDS) and each not in before.notes]
    if not kinds or _is_behind(place, before):
        return
    message = f"{_what_it_was(before)} stood there, and now {kinds[0]} does, after the first update. {HONEST}"
    yield Said(CODE_OF[place.place], _severity(place, view), place.name, message)


def _is_behind(place: Place, before: Place) -> bool:
    """Whether the function still stands there, and leads to something new: that is judged by itself."""
    old = {each.written for each in before.pieces}
    return place.pieces[:1] == before.pieces[:1] and any(each.written not in old for each in place.pieces)


def _what_it_was(before: Place) -> str:
    if not before.pieces:
        return before.notes[0] if before.notes else "What was there"
    first = before.pieces[0]
    return f"{first.name}, {first.file}:{first.line}" if first.file is not None else first.name


def _severity(place: Place, view: View) -> Severity:
    """As for code that was replaced; what belongs to the script or its folder is the user's own to change."""
    own = view.of(place.owner)
    users = own is not None and own.origin in {"script", "tree"}
    return "info" if users or place.place not in _LOOKED_UP else "warning"
