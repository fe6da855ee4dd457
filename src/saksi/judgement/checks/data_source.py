"""Where the batches that were trained on came from: another dataset, or sampler, in the middle of a training.

Rules: the last batch before an update is the one that was trained on, so that an evaluation between two updates is no
source. A source is known by the class and length of its dataset and by its sampler: a loader that is made anew over the
same is none. Curricula and sizes that grow are honest and look the same: this is told, and no more.

Known weakness: a dataset of the same class and length is the same one here; samplers that are none of torch's have no
length in the record.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from saksi.judgement.checks.data_epoch import sampler_name
from saksi.words.frames import EpochFrame, UpdateFrame

__all__ = ["Another", "Sources"]

MAX_LOADERS: Final = 256
"""Whose source is remembered; the one that began an epoch longest ago goes first."""
MAX_SOURCES: Final = 64
BEGUN: Final = 8
"""Updates after which another source is one in the middle of a training; loaders that take turns are known by then."""


class _Source(NamedTuple):
    dataset: str
    length: int | None
    sampler: str

    def __str__(self) -> str:
        of = "" if self.length is None else f" of {self.length:,} samples"
        return f"the dataset {self.dataset.rpartition('.')[2]}{of} by {self.sampler}"


class Another(NamedTuple):
    """A source that is new, and the one before it."""

    loader: int
    now: str
    before: str


class Sources:
    """The sources of one process."""

    __slots__ = ("_last", "_of", "_seen", "_updates")

    def __init__(self) -> None:
        self._of: dict[int, _Source] = {}
        self._seen: set[_Source] = set()
        self._last: _Source | None = None
        self._updates = 0

    def begin(self, frame: EpochFrame) -> None:
        """A loader begins an epoch."""
        self._of.pop(frame.loader, None)
        self._of[frame.loader] = _Source(frame.dataset, frame.length, sampler_name(frame))
        if len(self._of) > MAX_LOADERS:
            del self._of[next(iter(self._of))]

    def take(self, frame: UpdateFrame) -> Another | None:
        """An update; what it was trained on if that came from elsewhere than anything before."""
        if not frame.batches or frame.batches_omitted:
            return None
        loader = frame.batches[-1].loader
        source = self._of.get(loader)
        if source is None:
            return None
        self._updates += 1
        before, self._last = self._last, source
        if source in self._seen or len(self._seen) >= MAX_SOURCES:
            return None
        self._seen.add(source)
        if before is None or self._updates <= BEGUN:
            return None
        return Another(loader, str(source), str(before))
