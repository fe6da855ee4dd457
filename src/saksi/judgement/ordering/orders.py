"""The samples of one epoch in their order, for the samplers of torch that permute: worked out as far as it is asked.

Rules: an order is what torch makes of the arguments and the generator's state that an `epoch` frame says; what does not
fit together has none. Torch shuffles from the front (`randperm`: sample *i* changes places with one of those from *i*
on, chosen by the next 32 bits modulo their number), so the first samples are known before the last ones are worked out.

Known weakness: `randperm` draws 64 bits from 2^32 / 20 samples on; so many are not followed here at all.
"""

from __future__ import annotations

from array import array
from typing import Final, Protocol
from weakref import WeakValueDictionary

from saksi.judgement.ordering.twister import SEED_BITS, Twister, seeded, twister_of
from saksi.words.frames import EpochFrame

__all__ = [
    "DISTRIBUTED",
    "MAX_FEW",
    "RANDOM",
    "SEQUENTIAL",
    "InTurn",
    "Order",
    "Orders",
    "Permutation",
    "Strided",
    "others_drew",
]

SEQUENTIAL: Final = "torch.utils.data.sampler.SequentialSampler"
RANDOM: Final = "torch.utils.data.sampler.RandomSampler"
DISTRIBUTED: Final = "torch.utils.data.distributed.DistributedSampler"
MAX_FEW: Final = 4_096
"""Samples that are worked out before there is room for all."""
MAX_DRAWN: Final = 4_096
"""Integers that are drawn at a time: a place far behind would need a list as long as the dataset."""


class Order(Protocol):
    """Which sample comes at each place."""

    def reach(self, place: int) -> int:
        """How many steps of work it takes to know what comes at `place`."""

    def at(self, place: int) -> int:
        """The sample at `place`, which is one of the order's."""


class InTurn:
    """Samples in their own order: 0, 1, 2, …; no work."""

    def reach(self, place: int) -> int:
        """See `Order.reach`."""
        del place
        return 0

    def at(self, place: int) -> int:
        """See `Order.at`."""
        return place


class Permutation:
    """What `torch.randperm(size, generator=...)` gives, worked out from the front.

    Of a long one nothing is kept but what was worked out, until that is more than `MAX_FEW`: a program may begin an
    epoch for each batch.
    """

    __slots__ = ("__weakref__", "_first", "_moved", "_samples", "_size", "_twister", "worked_out")

    def __init__(self, size: int, twister: Twister) -> None:
        self._size = size
        self._twister = twister
        self._first = array("I")
        self._moved: dict[int, int] = {}  # behind the first ones: which sample is at a place that was changed
        self._samples: array[int] | None = None
        self.worked_out = 0

    def reach(self, place: int) -> int:
        """See `Order.reach`."""
        return max(0, min(place + 1, self._size - 1) - self.worked_out)

    def at(self, place: int) -> int:
        """See `Order.at`."""
        if self._samples is None and (place >= MAX_FEW or self._size <= MAX_FEW):
            self._samples = self._spread()
        while steps := min(MAX_DRAWN, self.reach(place)):
            drawn = self._twister.draw(steps)
            if self._samples is None:
                self._work_out(drawn)
            else:
                self._shuffle(self._samples, drawn)
            self.worked_out += steps
        return self._first[place] if self._samples is None else self._samples[place]

    def _work_out(self, drawn: list[int]) -> None:
        moved, first = self._moved, self._first
        for at, number in enumerate(drawn, start=self.worked_out):
            other, here = at + number % (self._size - at), moved.pop(at, at)
            if other == at:
                first.append(here)
            else:
                first.append(moved.get(other, other))
                moved[other] = here

    def _shuffle(self, samples: array[int], drawn: list[int]) -> None:
        left = self._size - self.worked_out
        for at, number in enumerate(drawn, start=self.worked_out):
            other = at + number % left
            samples[at], samples[other] = samples[other], samples[at]
            left -= 1

    def _spread(self) -> array[int]:
        samples = array("I", range(self._size))
        samples[: len(self._first)] = self._first
        for at, sample in self._moved.items():
            samples[at] = sample
        self._first, self._moved = array("I"), {}
        return samples


class Strided:
    """Every `step`-th sample of another order from `first` on, which begins again where it ends: one rank's share."""

    __slots__ = ("_first", "_of", "_size", "_step")

    def __init__(self, of: Order, *, size: int, first: int, step: int) -> None:
        self._of = of
        self._size = size
        self._first = first
        self._step = step

    def reach(self, place: int) -> int:
        """See `Order.reach`."""
        last = self._first + place * self._step
        return self._of.reach(min(last, self._size - 1))

    def at(self, place: int) -> int:
        """See `Order.at`."""
        return self._of.at((self._first + place * self._step) % self._size)


class Orders:
    """Makes orders. Ranks of one epoch of a DistributedSampler share its permutation, while one of them lasts."""

    __slots__ = ("_shared",)

    def __init__(self) -> None:
        self._shared: WeakValueDictionary[tuple[int, int], Permutation] = WeakValueDictionary()

    def of(self, epoch: EpochFrame) -> Order | None:
        """The order of an epoch whose sampler permutes; `None` where what was said does not determine it."""
        if not epoch.length:
            return None
        if epoch.sampler == SEQUENTIAL:
            return InTurn()
        if epoch.sampler == RANDOM:
            twister = _for_random(epoch)
            return None if twister is None else Permutation(epoch.length, twister)
        if epoch.sampler == DISTRIBUTED and epoch.batch_size is not None:
            # Without a batch sampler it is asked as the loader's iterator is made, which may be before `set_epoch`.
            return self._of_one_rank(epoch, epoch.length)
        return None

    def _of_one_rank(self, epoch: EpochFrame, length: int) -> Order | None:
        given = epoch.arguments
        rank, ranks = given.get("rank", 0), given.get("num_replicas", 0)
        if not 0 <= rank < ranks:
            return None
        whole: Order = InTurn()
        if given.get("shuffle"):
            seed = (given.get("seed", 0) + given.get("epoch", 0)) & SEED_BITS
            shared = self._shared.get((length, seed))
            whole = self._shared[length, seed] = Permutation(length, seeded(seed)) if shared is None else shared
        return Strided(whole, size=length, first=rank, step=ranks)


def others_drew(epoch: EpochFrame) -> bool:
    """Whether torch's generator had moved further than by the seed that the sampler drew of it: by others as well."""
    twister = twister_of(epoch.state or "")
    if epoch.own or twister is None or epoch.after is None:
        return False
    places = [twister.digest()]
    for _ in range(2):  # a seed takes two words; a sampler that drew none, or one, was alone
        twister.draw(1)
        places.append(twister.digest())
    return epoch.after not in places


def _for_random(epoch: EpochFrame) -> Twister | None:
    """The generator that a RandomSampler permutes with."""
    twister = twister_of(epoch.state or "")
    if twister is None or epoch.own:
        return twister
    return seeded(twister.draw(2)[1])  # a seed has 64 bits: the lower half is the second word
