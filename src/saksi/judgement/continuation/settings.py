"""The hyper-parameters of one optimizer around the seam, as the earlier attempt had them.

Rules: Steps are those of optimizer 0, and a save lies between two of them. Whether an update that another optimizer
made between these two came before the save or after it is not known, so each of them, and the first one behind, may
be what a later attempt begins with.
"""

from __future__ import annotations

from collections import deque
from typing import Any, Final, Literal, TypeAlias

from saksi.words.frames import UpdateFrame

__all__ = ["BEFORE", "MAX_OPTIMIZERS", "Groups", "Place", "Settings"]

BEFORE: Final = 16
MAX_OPTIMIZERS: Final = 1024
"""Optimizers that are compared: one for each parameter of a large model is some hundreds."""
_BETWEEN: Final = 64
"""Updates between two Steps: more than a critic makes for one step of its generator."""

Groups: TypeAlias = list[dict[str, Any]]
Place: TypeAlias = Literal["before", "between", "behind"]
"""Before the Step of the save returned; between it and the next Step; behind that one, or that one itself."""


class Settings:
    """One optimizer of one rank. `complete` is whether everything that may follow the save is in `following`."""

    def __init__(self) -> None:
        self.first: Groups | None = None
        self.late: deque[Groups] = deque(maxlen=BEFORE)
        self.following: list[Groups] = []
        self.complete = False
        self.omitted = False
        self._number = -1
        self._lost = False

    def take(self, frame: UpdateFrame, place: Place) -> None:
        """Takes an update in. One that is missing behind the Step of the save leaves it open what followed."""
        if self.complete or self._lost:
            return
        expected, self._number = self._number + 1, frame.update
        if self.first is None:
            self.first = frame.groups
        self.omitted = self.omitted or frame.groups_omitted > 0
        if place == "before":
            self.late.append(frame.groups)
        elif frame.update != expected or len(self.following) >= _BETWEEN:
            self._lost = True
        else:
            self.following.append(frame.groups)
            self.complete = place == "behind"

    @property
    def last(self) -> Groups | None:
        """The latest that is known to come before the save, else the first behind it; `None` if nothing was heard."""
        return self.late[-1] if self.late else next(iter(self.following), None)
