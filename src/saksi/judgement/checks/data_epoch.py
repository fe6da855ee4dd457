"""One epoch of a DataLoader whose sampler permutes: is each sample there once, in the order that the sampler makes.

Rules: what was left out of the record is never held against the epoch: only a sample that came twice, a place whose
sample is another, and an epoch that ran out with every batch of it in the record can say something.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Literal, NamedTuple, TypeAlias

from saksi.judgement.ordering.orders import DISTRIBUTED, MAX_FEW, RANDOM, SEQUENTIAL, Order, Orders, others_drew
from saksi.words.frames import Batch, EpochFrame
from saksi.words.limits import MAX_IDS

__all__ = ["MAX_SAMPLES", "Apart", "Epoch", "Unjudged", "epoch_of", "sampler_name", "why_not_judged"]

MAX_SAMPLES: Final = 1 << 22
"""Of one epoch that are followed, five bytes each."""
MAX_NAMED: Final = 8
"""Samples that a finding names; of more it tells how many."""

Code: TypeAlias = Literal["data.order_differs", "data.sample_repeated", "data.sample_missing"]


class Apart(NamedTuple):
    """What was found, and what it looked like. `torch_does`: so does torch's sampler, of a dataset that changes."""

    code: Code
    what: str
    torch_does: bool = False


class Unjudged(NamedTuple):
    """Why an epoch is not judged, or its order alone (`ordered`).

    `owed`: the rule applies, and what it needs is not there.
    """

    why: str
    owed: bool
    ordered: bool = False


class _Marks:
    """Which samples were heard of one round of an epoch: a few by themselves, more with a byte for each there is."""

    __slots__ = ("_all", "_few", "_size")

    def __init__(self, size: int, *, is_spread: bool) -> None:
        self._size = size
        self._few: set[int] = set()
        self._all = bytearray(size if is_spread else 0)

    def add(self, sample: int) -> bool:
        """Marks a sample; whether it is the first time."""
        if self._all:
            is_new = not self._all[sample]
            self._all[sample] = 1
            return is_new
        known = len(self._few)
        self._few.add(sample)
        return len(self._few) > known

    def spread(self) -> None:
        """There is room for all of them now."""
        self._all = bytearray(self._size)
        for sample in self._few:
            self._all[sample] = 1
        self._few.clear()

    def lacking(self) -> list[int]:
        """The samples that are not marked."""
        return [each for each in range(self._size) if not self._all[each]] if self._all else []


class Epoch:
    """What has been heard of one epoch. `size` is counted in samples."""

    __slots__ = (
        "_distinct",
        "_expected",
        "_first",
        "_frame",
        "_heard",
        "_is_in_rounds",
        "_is_regular",
        "_is_spread",
        "_last",
        "_length",
        "_marks",
        "_order",
        "_round",
        "_step",
        "exhausted",
    )

    def __init__(self, frame: EpochFrame, order: Order | None) -> None:
        self._frame = frame
        self._order = order
        self._length = frame.length or 0
        self._is_spread = self._length <= MAX_FEW
        self._marks = _Marks(self._length, is_spread=self._is_spread)
        self._expected = frame.arguments.get("num_samples", self._length)  # by the sampler, of this rank
        self._is_in_rounds = self._expected > self._length  # of a RandomSampler: each has every sample once
        self._first = frame.arguments.get("rank", 0)
        self._step = max(1, frame.arguments.get("num_replicas", 1))
        self._round = 0
        self._distinct = 0
        self._heard = 0  # batches
        self._last = -1
        self._is_regular = True  # every batch is of the size that was said
        self.exhausted: int | None = None

    @property
    def size(self) -> int:
        """How many samples it has room for."""
        return self._length if self._is_spread else MAX_FEW

    def grows(self, batch: Batch) -> int:
        """How many more samples it needs room for, to take `batch`."""
        end = (batch.before or 0) + len(batch.ids or ())
        return 0 if self._is_spread or end <= MAX_FEW else self._length - MAX_FEW

    @property
    def may_go_unnamed(self) -> bool:
        """Whether its batches are so large that their ids are in no record."""
        return (self._frame.batch_size or 1) > MAX_IDS

    @property
    def is_over(self) -> bool:
        """Whether every batch of it was heard."""
        return self.exhausted == self._heard

    def reach(self, batch: Batch) -> int:
        """How many steps of work it takes to compare `batch`."""
        last = min((batch.before or 0) + len(batch.ids or ()), self._limit()) - 1
        return 0 if self._order is None or last < 0 else self._order.reach(last)

    def take(self, batch: Batch) -> Iterator[Apart]:
        """What a batch with its ids shows."""
        ids, place = batch.ids, batch.place
        if ids is None or place is None or batch.before is None or place <= self._last:
            return
        begin = batch.before or 0
        if self.grows(batch):
            self._is_spread = True
            self._marks.spread()
        self._last = place
        self._heard += 1
        self._is_regular = self._is_regular and len(ids) == self._frame.batch_size
        yield from self._compare(begin, ids)
        yield from self._count(begin, ids)
        yield from self.whole()

    def whole(self) -> Iterator[Apart]:
        """What is missing, once the loader had no more and every batch was heard."""
        if not self.is_over or self._is_in_rounds:
            return
        expected, size = self._distinct_expected(), self._frame.batch_size
        if self._frame.drop_last and size:
            if not self._is_regular:
                return  # how many are dropped depends on the last batch size
            expected -= expected % size
        if self._distinct >= expected:
            return
        named = ""
        if self._expected == self._length and not self._frame.drop_last:
            named = f": {_named(self._marks.lacking())}"
        yield Apart(
            "data.sample_missing",
            f"First in epoch {self._frame.epoch}, there was no more to hand out after {self._distinct:,} different "
            f"samples, where its sampler hands out {expected:,}{named}.",
        )

    def _limit(self) -> int:
        """Where the order that is worked out ends: later rounds of a RandomSampler draw anew."""
        return min(self._expected, self._length)

    def _compare(self, begin: int, ids: list[int]) -> Iterator[Apart]:
        known = self._known(begin, len(ids))
        if ids == known:
            return  # as nearly all are
        for at, sample in enumerate(ids):
            if not 0 <= sample < self._length:
                told = f"the dataset had {self._length:,} samples as the epoch began"
            elif at >= len(known) or known[at] == sample:
                continue
            else:
                told = f"its sampler makes that sample {known[at]}"
            self._order = None  # what comes behind need not be told
            where = f"First in epoch {self._frame.epoch}, sample {sample} came at place {begin + at}"
            yield Apart("data.order_differs", f"{where}: {told}.")
            return

    def _known(self, begin: int, count: int) -> list[int]:
        """The samples that the order has from place `begin` on, as many as are worked out."""
        places = range(begin, min(begin + count, self._limit()))
        if self._order is None or not places:
            return []
        self._order.at(places[-1])  # worked out in one go, which takes half the time
        return [self._order.at(place) for place in places]

    def _count(self, begin: int, ids: list[int]) -> Iterator[Apart]:
        repeated, behind = [], []
        for at, sample in enumerate(ids):
            if not 0 <= sample < self._length:
                continue
            if self._is_in_rounds and (begin + at) // self._length != self._round:
                self._round, self._distinct = (begin + at) // self._length, 0
                self._marks = _Marks(self._length, is_spread=self._is_spread)
            if self._marks.add(sample):
                self._distinct += 1
            elif self._is_drawn_anew(begin + at):
                behind.append(sample)
            else:
                repeated.append(sample)
        if repeated:
            what = f"samples came that had been handed out before: {_named(repeated)}"
            yield Apart("data.sample_repeated", f"First in epoch {self._frame.epoch}, {what}.")
        if behind:
            what = f"more samples came behind the {self._length:,} of the dataset: {_named(behind)}"
            yield Apart("data.sample_repeated", f"First in epoch {self._frame.epoch}, {what}.", torch_does=True)

    def _is_drawn_anew(self, place: int) -> bool:
        """Whether torch's sampler begins again there, of a dataset that is longer or shorter than it was.

        At its end a RandomSampler asks for the length once more; a DistributedSampler fills up to the length it had.
        """
        if self._frame.sampler == DISTRIBUTED:
            return place < self._expected and self._first + place * self._step >= self._length
        return self._frame.sampler == RANDOM and self._expected == self._length <= place

    def _distinct_expected(self) -> int:
        """How many different samples at least the sampler hands out."""
        first, step = self._first, self._step
        if self._frame.sampler != DISTRIBUTED or self._expected * step < self._length + step:
            return self._expected
        return max(0, -(-(self._length - first) // step))


def why_not_judged(frame: EpochFrame) -> Unjudged | None:
    """Why nothing of an epoch is judged; `None` if its sampler hands out each sample once."""
    given, sampler = frame.arguments, sampler_name(frame)
    if frame.sampler not in {SEQUENTIAL, RANDOM, DISTRIBUTED} or frame.length is None:
        return Unjudged(f"{sampler} may hand out any sample at any time", owed=False)
    if given.get("replacement"):
        return Unjudged(f"{sampler} draws with replacement", owed=False)
    if frame.length > MAX_SAMPLES:
        return Unjudged(f"of a dataset of more than {MAX_SAMPLES:,} samples nothing is kept", owed=False)
    if given.get("num_samples", 0) < 0:
        return Unjudged(f"{sampler} was given arguments that are none of its own", owed=True)
    return None


def epoch_of(frame: EpochFrame, orders: Orders) -> tuple[Epoch, Unjudged | None]:
    """An epoch that is judged, and why its order is not, if so."""
    if frame.sampler == RANDOM and frame.state is None:
        why = "its generator is none of the CPU's, or of a form that is not known"
        return Epoch(frame, None), Unjudged(why, owed=False, ordered=True)
    if others_drew(frame):
        why = "torch's generator was moved by others as well while the sampler drew its seed"
        return Epoch(frame, None), Unjudged(why, owed=True, ordered=True)
    order = orders.of(frame)
    if order is None and frame.sampler == DISTRIBUTED and frame.batch_size is None:
        return Epoch(frame, None), Unjudged(
            "without a batch size it may be asked before its epoch is set", owed=False, ordered=True
        )
    if order is None and frame.length:
        return Epoch(frame, None), Unjudged("what was said of it does not fit together", owed=True, ordered=True)
    return Epoch(frame, order), None


def sampler_name(frame: EpochFrame) -> str:
    """The sampler's class as users write it."""
    return frame.sampler.removeprefix("torch.utils.data.sampler.").removeprefix("torch.utils.data.distributed.")


def _named(samples: list[int]) -> str:
    first = ", ".join(str(each) for each in samples[:MAX_NAMED])
    more = len(samples) - MAX_NAMED
    return first if more <= 0 else f"{first} and {more:,} more"
