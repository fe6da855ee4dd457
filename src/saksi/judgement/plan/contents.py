"""Has a sample that comes again the values that it had, where that is declared: one loader's samples by their digests.

Rules: only values of one form are compared, since a batch may be filled up to its longest sample; a sample that is
another counts once others came again unchanged, and as many of them: a function that puts batches together in another
order, and random augmentation, leave next to none as they were.

Known weakness: of each batch a few samples have a digest. A loader that is made anew for each epoch is another one.
"""

from __future__ import annotations

from typing import Final

from saksi.words.frames import Batch

__all__ = ["Contents"]

MAX_KEPT: Final = 1 << 16
"""Samples of one loader."""
AGREED: Final = 8
"""Samples that came again unchanged, before one that changed is told."""
MAX_NAMED: Final = 8


class Contents:
    """The samples of one loader. `differed`: those that came with other values."""

    __slots__ = ("_agreed", "_is_known_to_stand", "_kept", "differed", "has_ids", "has_rows")

    def __init__(self) -> None:
        self._kept: dict[tuple[int, str], str] = {}
        self._agreed: set[int] = set()
        self._is_known_to_stand = False
        self.differed: dict[int, None] = {}
        self.has_ids = False
        self.has_rows = False

    @property
    def size(self) -> int:
        """How many are kept."""
        return len(self._kept)

    def take(self, batch: Batch, room: int) -> list[int]:
        """Takes a batch in; the samples of it that have other values than they had."""
        self.has_ids = self.has_ids or batch.ids is not None
        changed = []
        form = batch.form or ""
        for sample, digest in batch.rows:
            self.has_rows = True
            known = self._kept.get((sample, form))
            if known is None:
                if len(self._kept) < MAX_KEPT and room > 0:
                    self._kept[sample, form] = digest
                    room -= 1
            elif known == digest:
                self._agreed.add(sample)
            else:
                self.differed[sample] = None
                changed.append(sample)
        return changed

    @property
    def stands_still(self) -> bool:
        """Whether enough samples came again unchanged for one that changed to be told; it stays so."""
        if len(self._agreed) >= max(AGREED, len(self.differed)):
            self._is_known_to_stand = True
        return self._is_known_to_stand
