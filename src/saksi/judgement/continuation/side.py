"""What is read alike of both attempts at the seam: layouts of roots, and the batches that each Step used."""

from __future__ import annotations

from typing import Final, TypeAlias

import msgspec

from saksi.judgement.trained_state import digests_in
from saksi.words.frames import Batch, LayoutFrame, RootFrame, UpdateFrame

__all__ = ["AFTER", "Leaves", "Lines", "Side", "batches_of", "leaves_of"]

AFTER: Final = 512
"""Steps behind the seam that are compared: what was done twice, usually less than one interval between two saves."""
_MAX_BATCHES: Final = 1024
"""Batches that are kept of the updates that other optimizers made between two Steps."""

_DIGEST: Final = 32

Lines: TypeAlias = list[tuple[str, str | None, str, list[int]]]
Leaves: TypeAlias = dict[str, bytes]


class Side:
    """One rank. `more_optimizers` is whether it had more than are compared."""

    def __init__(self) -> None:
        self.more_optimizers = False
        self._layouts: dict[str, Lines] = {}
        self._batches: list[Batch] = []
        self._omitted = 0
        self._latest = 0  # of the batches, at the end of them, as far back as none is missing

    def lay(self, frame: LayoutFrame) -> None:
        """Takes a part of a layout in, which may be said more than once."""
        if frame.part == 0:
            self._layouts[frame.layout] = []
        self._layouts.setdefault(frame.layout, []).extend(frame.lines)

    def lines(self, root: RootFrame) -> Lines | None:
        """The lines of a root's layout, or `None` where it is not there."""
        return self._layouts.get(root.layout)

    def gather(self, frame: UpdateFrame) -> UpdateFrame | None:
        """A Step with every batch since the one before; what another optimizer's update used waits for the Step."""
        latest = len(frame.latest) if frame.batches_omitted else self._latest + len(frame.batches)
        batches, omitted = [*self._batches, *frame.batches], self._omitted + frame.batches_omitted
        if frame.optimizer:
            self._batches = batches[-_MAX_BATCHES:]
            self._omitted = omitted + len(batches) - len(self._batches)
            self._latest = min(latest, len(self._batches))
            return None
        self._batches, self._omitted, self._latest = [], 0, 0
        behind = latest if omitted else 0
        return msgspec.structs.replace(frame, batches=batches, batches_omitted=omitted, batches_behind=behind)


def batches_of(frame: UpdateFrame, width: int) -> list[Batch] | None:
    """The last `width` batches before an update: those it used. `None` if they are not in the record."""
    return None if len(frame.latest) < width else frame.latest[-width:]


def leaves_of(text: str | None, lines: Lines) -> Leaves | None:
    """The digest of each tensor by its key; `None` where the record does not hold them."""
    content = digests_in(text)
    if text is None or len(content) != _DIGEST * len(lines):
        return None
    return {line[0]: content[at * _DIGEST : (at + 1) * _DIGEST] for at, line in enumerate(lines)}
