"""What a rehearsal had of live code: it is told of a launch under that seal file as well, and stands against nobody.

A place counts as rehearsed with the code of every function behind it and their defaults; with other code, or changed
after it was first heard of, it is judged as without a rehearsal.
"""

from __future__ import annotations

from typing import Final

import msgspec

from saksi.judgement.checks.live_places import Place
from saksi.judgement.checks.live_said import Said
from saksi.judgement.checks.seal import file_in
from saksi.judgement.items import Item
from saksi.judgement.rehearsal.values import Rehearsal, RehearsedCode, RehearsedFunction

__all__ = ["Rehearsed", "as_rehearsed", "code_at"]

_HAD: Final = " The rehearsal in the seal file had it too."


class Rehearsed:
    """The code that was rehearsed, by attempt, as the seal files in the record say."""

    def __init__(self) -> None:
        self._code: dict[int, frozenset[RehearsedCode]] = {}

    def take(self, item: Item) -> None:
        """An `approval` record. The first of an attempt counts."""
        file = file_in(item)
        code = file.rehearsal.code if file is not None and isinstance(file.rehearsal, Rehearsal) else msgspec.UNSET
        self._code.setdefault(item.record.attempt, frozenset() if code is msgspec.UNSET else frozenset(code))

    def has(self, attempt: int, place: Place) -> bool:
        """Whether this attempt was launched under a file whose rehearsal had the same at this place."""
        return code_at(place) in self._code.get(attempt, ())


def code_at(place: Place) -> RehearsedCode:
    """A place as a seal file holds it."""
    functions = tuple(
        RehearsedFunction(name=each.name, code=each.code, defaults=each.defaults) for each in place.pieces
    )
    return RehearsedCode(place=place.place, name=place.name, functions=functions)


def as_rehearsed(said: Said) -> Said:
    """What is said of a place that was rehearsed."""
    return said._replace(severity="info", message=said.message + _HAD)
