"""Does an attempt that goes on from a model checkpoint begin an epoch of the one before again.

Rules: the first batches of an epoch, in their order, are its opening; only an opening of enough samples that a sampler
shuffled is compared, since any other may come again by itself. A program that skips what was done hands several batches
to its first update, and is not told.

Known weakness: a file is known by its path, loaders by no name at all; accumulation over more than two batches, epochs
of fewer than four batches and batches without ids are not compared.
"""

from __future__ import annotations

import hashlib
import struct
from typing import Final, NamedTuple

from saksi.judgement.ordering.orders import DISTRIBUTED, RANDOM
from saksi.words.frames import Batch, CkptFrame, EpochFrame

__all__ = ["Again", "Opening", "Openings", "is_shuffled"]

BATCHES: Final = 4
SAMPLES: Final = 16
"""Of an opening at least: so many come in the same order by chance once in 16!."""
MAX_OPENINGS: Final = 4_096
"""Of the attempt before and this one, all ranks; the oldest go first."""
MAX_SAVED: Final = 4_096
MAX_PATH: Final = 1_024


class Again(NamedTuple):
    """An epoch of the attempt before that is begun again: its first step there, and the step that was gone on from.

    `was_over`: it had come to its end by then, so that the order is the same and no sample comes twice in one epoch.
    """

    began: int
    saved: int
    entry: int
    was_over: bool


class Opening:
    """The first batches of one epoch, as they come."""

    __slots__ = ("_ids", "_widths", "digest", "first_step", "is_over")

    def __init__(self, *, is_over: bool = False) -> None:
        self._ids: list[int] = []
        self._widths: dict[int, int] = {}  # batches by the update that they came with
        self.first_step: int | None = None
        self.is_over = is_over
        self.digest: bytes | None = None

    def take(self, batch: Batch, step: int | None, update: int) -> bytes | None:
        """Takes the next batch in; its digest, as the opening is whole and came as batches do that are trained on."""
        if self.is_over:
            return None
        place = sum(self._widths.values())
        if batch.ids is None or step is None or batch.place != place:
            self._end()
            return None
        self.first_step = step if self.first_step is None else self.first_step
        self._widths[update] = self._widths.get(update, 0) + 1
        self._ids += batch.ids
        return self._end() if place + 1 == BATCHES else None

    def _end(self) -> bytes | None:
        ids, widths = self._ids, list(self._widths.values())
        self._ids, self._widths, self.is_over = [], {}, True
        if len(ids) < SAMPLES or len(widths) < 2 or widths[0] != widths[1]:  # noqa: PLR2004  (the first two)
            return None
        self.digest = hashlib.sha256(struct.pack(f"<{len(ids)}q", *ids)).digest()[:16]
        return self.digest


class Openings:
    """The openings of every attempt, and at which step each model checkpoint was saved."""

    __slots__ = ("_ended", "_kept", "_saved")

    def __init__(self) -> None:
        self._kept: dict[tuple[int, int, bytes], tuple[int, int]] = {}
        self._ended: dict[tuple[int, int, bytes], int] = {}
        self._saved: dict[tuple[int, str], int] = {}

    def save(self, attempt: int, frame: CkptFrame) -> None:
        """A model checkpoint was saved under a path."""
        if frame.path is not None and len(frame.path) <= MAX_PATH:
            self._saved.pop((attempt, frame.path), None)
            self._saved[attempt, frame.path] = frame.step
            if len(self._saved) > MAX_SAVED:
                del self._saved[next(iter(self._saved))]

    def saved(self, attempt: int, frame: CkptFrame) -> int | None:
        """The step at which the attempt before saved what is loaded now."""
        return self._saved.get((attempt - 1, frame.path or ""))

    def keep(self, attempt: int, rank: int, opening: bytes, began: int, entry: int) -> None:
        """Remember an opening; of several that are the same, the first."""
        self._kept.setdefault((attempt, rank, opening), (began, entry))
        if len(self._kept) > MAX_OPENINGS:
            oldest = next(iter(self._kept))
            del self._kept[oldest]
            self._ended.pop(oldest, None)

    def end(self, attempt: int, rank: int, opening: Opening, last_step: int | None) -> None:
        """The epoch that began so has come to its end, or another began; of several that began so, the first counts."""
        key = (attempt, rank, opening.digest or b"")
        if last_step is not None and key in self._kept:
            self._ended.setdefault(key, last_step)

    def again(self, attempt: int, rank: int, opening: bytes, saved: int) -> Again | None:
        """The epoch of the attempt before that had begun by step `saved` with this opening."""
        key = (attempt - 1, rank, opening)
        began, entry = self._kept.get(key, (saved + 1, 0))
        ended = self._ended.get(key)
        return Again(began, saved, entry, ended is not None and ended <= saved) if began <= saved else None


def is_shuffled(frame: EpochFrame) -> bool:
    """Whether the order of this epoch does not come again by itself."""
    given = frame.arguments
    return (frame.sampler == RANDOM and not given.get("replacement")) or (
        frame.sampler == DISTRIBUTED and bool(given.get("shuffle"))
    )
