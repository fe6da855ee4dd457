"""A tensor's gradient from Update to Update: whether it is there at all, and whether its elements have two signs.

Of each Update that gives samples a few elements are known. What has become so is told only of a tensor whose gradients
were otherwise for long: those of an embedding are zero wherever a word is missing, and those of a single bias have one
sign now and then.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, Literal, NamedTuple, TypeAlias

__all__ = ["ENOUGH", "USUAL", "Became", "Kind", "Signs", "kind_of"]

USUAL: Final = 32
"""Updates with samples, one after another, in which its elements had both signs."""
ENOUGH: Final = 8
"""Updates with samples, one after another, in which it has become otherwise."""
LEAST: Final = 4
"""Elements below which a single sign says nothing."""

Kind: TypeAlias = Literal["usual", "zero", "above", "below", "no_number"]


class Became(NamedTuple):
    """What has become of a tensor's gradients, and from which Update on."""

    kind: Kind
    first: int


class Signs:
    """Of one tensor in one process. Updates that do not come in order are not counted."""

    __slots__ = ("_first", "_kind", "_last", "_row", "_usual")

    def __init__(self) -> None:
        self._last = -1
        self._usual = 0  # updates, one after another, before it became otherwise
        self._kind: Kind = "usual"
        self._first = self._row = 0  # of its kind

    def take(self, update: int, elements: Sequence[float]) -> Became | None:
        """Takes the elements of one Update in; what has become of them, in each Update in which it is so."""
        if update <= self._last or not elements:
            return None
        self._last = update
        kind, before = kind_of(elements), self._kind
        if kind == "usual":
            self._usual = self._usual + 1 if before == "usual" else 1
        elif kind == "no_number" or self._usual < USUAL:
            kind, self._usual = "usual", 0
        elif kind != before:
            self._first, self._row = update, 1
        else:
            self._row += 1
        self._kind = kind
        return Became(kind, self._first) if kind != "usual" and self._row >= ENOUGH else None


def kind_of(elements: Sequence[float]) -> Kind:
    """All zero, all on one side of it, with an infinity or no number among them, or none of these, which is usual."""
    if not all(map(math.isfinite, elements)):
        return "no_number"
    if not any(elements):
        return "zero"
    if len(elements) < LEAST:
        return "usual"
    if all(each > 0 for each in elements):
        return "above"
    return "below" if all(each < 0 for each in elements) else "usual"
