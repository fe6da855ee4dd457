"""A tensor's gradient from Update to Update: whether it is there at all, and whether its elements have two signs.

Of each Update that gives samples a few elements are known. What has become so is told only of a tensor whose gradients
were otherwise for long: those of an embedding are zero wherever a word is missing, and those of a single bias have one
sign now and then.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal, NamedTuple, TypeAlias

__all__ = ["ENOUGH", "USUAL", "Became", "Change", "Signs", "kind_of"]

USUAL: Final = 32
"""Updates with samples, one after another, in which it was neither."""
ENOUGH: Final = 8
"""Updates with samples, one after another, in which it has become so."""
LEAST: Final = 4
"""Elements below which a single sign says nothing."""

Change: TypeAlias = Literal["vanished", "one_sided"]


class Became(NamedTuple):
    """What has become of a tensor's gradients, and from which Update on."""

    change: Change
    first: int


class Signs:
    """Of one tensor in one process."""

    __slots__ = ("_change", "_first", "_row", "_usual")

    def __init__(self) -> None:
        self._usual = 0
        self._row = 0
        self._change: Change | None = None
        self._first = 0

    def take(self, update: int, elements: Sequence[float]) -> Became | None:
        """Takes the elements of one Update in; what has become of them, in each Update in which it is so."""
        change = kind_of(elements)
        if change is None:
            self._usual = self._usual + 1 if self._change is None else 1
            self._change = None
            return None
        if self._change is None and self._usual < USUAL:
            self._usual = 0
            return None
        if change != self._change:
            self._change, self._first, self._row = change, update, 0
        self._row += 1
        return Became(change, self._first) if self._row >= ENOUGH else None


def kind_of(elements: Sequence[float]) -> Change | None:
    """What is odd about these: all are zero, or all lie on one side of it; `None` for what is no number too."""
    if not elements:
        return None
    if not any(elements):
        return "vanished"
    one_sided = all(each > 0 for each in elements) or all(each < 0 for each in elements)
    return "one_sided" if one_sided and len(elements) >= LEAST else None
