"""How many samples of data an update takes, beside what it took in the attempt before.

An attempt is told of by what most of its updates take, all ranks together: the last batch of an epoch, and the
batches of an evaluation, are few. A program that gets other ranks and hands out as much as before takes as many.

Rules: all of it is `info`: whoever has less memory or other machines takes smaller batches for a good reason, and
nothing in the record tells that from another. Updates whose samples are not counted, an attempt of which not every rank
was heard, and one of few updates are not compared.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import partial
from typing import Final

from saksi.judgement.checks.fold import Noted, observation
from saksi.judgement.checks.spoken import Speakers, Spoken
from saksi.judgement.items import Item
from saksi.words.findings import Finding
from saksi.words.frames import UpdateFrame

__all__ = ["UPDATE_SIZES", "UpdateSizeCheck"]

CHANGED: Final = "data.update_size_changed"
ENOUGH: Final = 8
"""Updates of each rank."""
MAX_SIZES: Final = 64
"""Different ones of one rank that are counted: the others are no size that most updates have."""
MAX_RANKS: Final = 65_536
_finding = partial(observation, check="update_sizes", severity="info")


class _Rank:
    """One rank of one attempt: how many updates took how many samples."""

    __slots__ = ("entry", "first", "last", "sizes", "updates", "world_size")

    def __init__(self, said: Spoken) -> None:
        self.world_size = said.hello.world_size
        self.entry = said.entry
        self.first: int | None = None
        self.last: int | None = None
        self.updates = 0
        self.sizes: Counter[int] = Counter()

    def take(self, update: int, size: int | None) -> None:
        """One update more."""
        self.updates += 1
        self.first = update if self.first is None else self.first
        self.last = update
        if size is not None and (size in self.sizes or len(self.sizes) < MAX_SIZES):
            self.sizes[size] += 1

    @property
    def usual(self) -> int | None:
        """What more than half of its updates take, if they are enough."""
        size, times = max(self.sizes.items(), key=lambda each: each[1], default=(0, 0))
        return size if times >= ENOUGH and 2 * times > self.updates else None


class _State:
    __slots__ = ("announced", "attempts", "noted", "ranks", "speakers")

    def __init__(self) -> None:
        self.noted = Noted()
        self.speakers = Speakers()
        self.attempts: dict[int, dict[int, _Rank]] = {}
        self.ranks = 0
        self.announced: set[int] = set()


class UpdateSizeCheck:
    """Every update of optimizer 0 of every attempt."""

    name = "update_sizes"

    def start(self) -> _State:
        """See `Check.start`."""
        return _State()

    def step(self, state: _State, item: Item) -> tuple[_State, tuple[Finding, ...]]:
        """See `Check.step`."""
        for said in state.speakers.take(item):
            if isinstance(said.frame, UpdateFrame) and said.frame.optimizer == 0:
                self._take(state, said, said.frame)
        return state, state.noted.news()

    def finish(self, state: _State, *, ended: bool) -> tuple[Finding, ...]:
        """See `Check.finish`."""
        del ended
        return tuple(_changes(state))

    def _take(self, state: _State, said: Spoken, frame: UpdateFrame) -> None:
        attempt = said.process.attempt
        ranks = state.attempts.setdefault(attempt, {})
        rank = ranks.get(said.rank)
        if rank is None:
            if state.ranks >= MAX_RANKS:
                return
            rank = ranks[said.rank] = _Rank(said)
            state.ranks += 1
        rank.take(frame.update, _size(frame))
        if rank.updates == ENOUGH and attempt and attempt not in state.announced:
            for found in _changes(state, attempt):
                state.announced.add(attempt)
                state.noted.announce(found)


def _size(frame: UpdateFrame) -> int | None:
    """The samples of the batches since the update before; `None` where they are not all counted, or there are none."""
    items = [each.items for each in frame.batches]
    counted = [each for each in items if each is not None]
    return None if not counted or len(counted) < len(items) or frame.batches_omitted else sum(counted)


def _changes(state: _State, only: int | None = None) -> Iterator[Finding]:
    """What each attempt takes, where the last one before it that is known took another number."""
    before: tuple[int, int] | None = None
    for attempt, ranks in sorted(state.attempts.items()):
        size = _usual(ranks)
        if size is None:
            continue
        if before is not None and before[0] != size and only in {None, attempt}:
            yield _changed(ranks, size, *before)
        before = size, len(ranks)


def _usual(ranks: dict[int, _Rank]) -> int | None:
    """What most updates of an attempt take, all ranks together; `None` where not every rank is known."""
    sizes = [each.usual for each in ranks.values()]
    known = [each for each in sizes if each is not None]
    is_whole = all(each.world_size == len(ranks) for each in ranks.values())
    return sum(known) if known and len(known) == len(sizes) and is_whole else None


def _changed(ranks: dict[int, _Rank], size: int, before: int, ranks_before: int) -> Finding:
    of_ranks = f"{len(ranks)} {'rank' if len(ranks) == 1 else 'ranks'}"
    shared = "" if len(ranks) == ranks_before == 1 else f" (of {of_ranks}, and of {ranks_before} before)"
    message = (
        f"Most updates take {size} samples, and {before} in the attempt before{shared}. A batch size that was set, "
        "less memory, other machines and accumulation over more or fewer batches look the same; the learning rate that "
        "fits may be another."
    )
    firsts = [each.first for each in ranks.values() if each.first is not None]
    lasts = [each.last for each in ranks.values() if each.last is not None]
    return _finding(
        code=CHANGED, subject="batches", message=message, steps=(min(firsts, default=None), max(lasts, default=None)),
        ranks=tuple(sorted(ranks)), evidence=tuple(sorted({each.entry for each in ranks.values()})),
    )  # fmt: skip


UPDATE_SIZES: Final = UpdateSizeCheck()
