"""How many backwards each Update of a process has, against the plan's `accumulation`.

Rules: an epoch may end in the middle of an accumulation, so each epoch that was begun allows one Update with fewer; an
Update whose data no DataLoader gave may always have fewer, since nobody says where its epochs end. What precedes the
first Update may be more: programs try a batch out. Inside a compiled graph none is seen, and nothing is known.
"""

from __future__ import annotations

from typing import NamedTuple

from saksi.words.frames import UpdateFrame

__all__ = ["Accumulated", "Other"]


class Other(NamedTuple):
    """Another number of backwards than planned, from Update `since` on."""

    since: int
    backwards: int


class Accumulated:
    """The Updates of optimizer 0. `is_seen`: some of them had a backward in the record."""

    __slots__ = ("_allowed", "_fewer", "_wanted", "is_seen")

    def __init__(self, wanted: int) -> None:
        self._wanted = wanted
        self._allowed = 0  # Updates with fewer that ends of epochs explain
        self._fewer: Other | None = None  # the first of those in a row that have fewer
        self.is_seen = False

    def begin(self) -> None:
        """An epoch of a DataLoader begins."""
        self._allowed += 1

    def take(self, frame: UpdateFrame) -> Other | None:
        """Takes an Update in; what is not as planned of it."""
        if not frame.losses:
            return None
        self.is_seen = True
        if frame.losses >= self._wanted:
            self._fewer = None
            more = frame.losses > self._wanted and frame.update > 0
            return Other(frame.update, frame.losses) if more else None
        if not frame.batches and not frame.batches_omitted:
            return None
        self._fewer = self._fewer or Other(frame.update, frame.losses)
        if self._allowed > 0:
            self._allowed -= 1
            return None
        return self._fewer
