"""A process that attached, its connections, and how its updates are counted.

A process may speak on several connections, one after the other (`spec/frames.md`, Connecting): its counters of updates
and of what was lost go on. Memory is bounded: of the steps that are missing 256 stretches are kept for each counter,
the rest is a number.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from saksi.judgement.checks.deferrals import Deferrals
from saksi.judgement.rank_groups import Member
from saksi.words.frames import HelloFrame
from saksi.words.limits import MAX_OPTIMIZERS

__all__ = ["Counted", "Counter", "Greeting", "Heard", "Trainee"]

MAX_STRETCHES: Final = 256
"""Enough to show where steps are missing; a run that loses every second step keeps a number instead."""


class Greeting(NamedTuple):
    """What a hello says that is asked for later: the rest of it may be large, and connections many."""

    world_size: int
    ppid: int
    forked: bool
    recorder: str

    @classmethod
    def of(cls, hello: HelloFrame) -> Greeting:
        """Of this hello. A recorder's key is new in every process, also behind an exec."""
        return cls(hello.world_size, hello.ppid, hello.forked, hello.fingerprint_key)


class Counter:
    """One optimizer's updates on one connection. `stretches` are missing ones, both ends included."""

    __slots__ = ("entries", "entry", "first", "next", "repeated", "stretches", "uncounted")

    def __init__(self, entry: int) -> None:
        self.entry = entry
        self.first: int | None = None
        self.next = 0
        self.repeated = 0
        self.uncounted = 0  # missing updates beyond the stretches that are kept
        self.stretches: list[tuple[int, int]] = []
        self.entries: list[int] = []

    def take(self, update: int, entry: int) -> bool:
        """Takes one update in; returns whether it is the one expected. Any may be the first."""
        if self.first is None:
            self.first = self.next = update
        if update < self.next:
            self.repeated += 1
            return False
        expected = update == self.next
        if not expected:
            self._miss(self.next, update - 1, entry)
        self.next = update + 1
        return expected

    def _miss(self, first: int, last: int, entry: int) -> None:
        if len(self.stretches) < MAX_STRETCHES:
            self.stretches.append((first, last))
            self.entries.append(entry)
        else:
            self.uncounted += last - first + 1


class Heard:
    """One connection. `left` is whether it said goodbye, `None` while it is open; `ended` the entry that says so."""

    __slots__ = (
        "counters",
        "deferrals",
        "ended",
        "entry",
        "hello",
        "last_entry",
        "left",
        "lost",
        "lost_entry",
        "rank",
        "told",
        "trainee",
    )

    def __init__(self, *, trainee: Trainee, rank: int, entry: int, hello: Greeting | None) -> None:
        self.trainee = trainee
        self.rank = rank
        self.entry = self.last_entry = entry
        self.hello = hello
        self.counters: dict[int, Counter] = {}
        self.deferrals: Deferrals | None = None
        self.told: tuple[int, ...] | None = None
        self.left: bool | None = None
        self.ended: int | None = None
        self.lost = 0
        self.lost_entry: int | None = None
        trainee.connections.append(self)
        trainee.world_size = max(trainee.world_size, 1 if hello is None else hello.world_size)

    def counter(self, optimizer: int, entry: int) -> Counter | None:
        """The counter of `optimizer`, or `None` beyond the limit."""
        found = self.counters.get(optimizer)
        if found is None and len(self.counters) < MAX_OPTIMIZERS:
            found = self.counters[optimizer] = Counter(entry)
        return found


class Counted(NamedTuple):
    """One optimizer's updates over all connections of a process. `next` is how far they reached."""

    next: int
    stretches: list[tuple[int, int]]
    entries: list[int]
    repeated: int
    uncounted: int


class Trainee:
    """One process that attached: its connections, in the order in which they began, at least one."""

    __slots__ = ("attempt", "connections", "pid", "trained_ns", "world_size")

    def __init__(self, attempt: int, pid: int) -> None:
        self.attempt = attempt
        self.pid = pid
        self.connections: list[Heard] = []
        self.world_size = 1  # the most ranks it spoke of
        self.trained_ns: int | None = None  # when its first updates were written down, by the agent's monotonic clock

    @property
    def last(self) -> Heard:
        """The connection that began last."""
        return self.connections[-1]

    @property
    def rank(self) -> int:
        """The rank it said last: a rank may be known only after the first hello."""
        return self.last.rank

    @property
    def forked(self) -> bool:
        """Whether it says that it was forked from a process that had attached."""
        hello = self.connections[0].hello
        return hello is not None and hello.forked

    @property
    def told(self) -> tuple[int, ...] | None:
        """How many updates of each optimizer it says it made, if it said goodbye."""
        return self.last.told

    @property
    def left(self) -> bool | None:
        """Whether it said goodbye; `None` while it is connected."""
        return self.last.left

    @property
    def lost(self) -> int:
        """Frames it dropped on all connections: the number that each goes on with."""
        return max(each.lost for each in self.connections)

    @property
    def lost_entries(self) -> tuple[int, ...]:
        """The last entry of each connection that told of a drop."""
        return tuple(each.lost_entry for each in self.connections if each.lost_entry is not None)

    @property
    def last_step(self) -> int | None:
        """The last Step heard."""
        return self.counted(0).next - 1 if any(0 in each.counters for each in self.connections) else None

    @property
    def member(self) -> Member:
        """What decides with whom it trained."""
        hello = self.last.hello
        return Member(
            attempt=self.attempt,
            rank=self.rank,
            world_size=None if hello is None else self.world_size,
            parent=None if hello is None else hello.ppid,
            begun=self.connections[0].entry,
            ended=self.last.ended,
        )

    @property
    def trained(self) -> bool:
        """Whether an update was heard or told of."""
        return any(self.told or ()) or any(each.counters for each in self.connections)

    @property
    def optimizers(self) -> list[int]:
        """The ordinals of all optimizers heard or told of."""
        heard = {ordinal for each in self.connections for ordinal in each.counters}
        return sorted(heard | set(range(min(len(self.told or ()), MAX_OPTIMIZERS))))

    def told_of(self, optimizer: int) -> int:
        """How many updates of `optimizer` it says it made; 0 if it did not say."""
        return self.told[optimizer] if self.told is not None and optimizer < len(self.told) else 0

    def counted(self, optimizer: int) -> Counted:
        """The updates of `optimizer`: every connection is expected to begin where the one before it ended."""
        reached = repeated = uncounted = 0
        stretches: list[tuple[int, int]] = []
        entries: list[int] = []
        for each in self.connections:
            counter = each.counters.get(optimizer)
            if counter is None or counter.first is None:
                continue
            repeated += counter.repeated + (counter.first < reached)
            uncounted += counter.uncounted
            if counter.first > reached:
                stretches.append((reached, counter.first - 1))
                entries.append(counter.entry)
            stretches += counter.stretches
            entries += counter.entries
            reached = max(reached, counter.next)
        return Counted(reached, stretches, entries, repeated, uncounted)
