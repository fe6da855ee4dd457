"""What was watched of each connection, attempt and process: the counting under the coverage check.

Memory is bounded: of the steps that are missing 256 stretches are kept for each counter, the rest is a number.
"""

from __future__ import annotations

from typing import Final

from saksi.words.frames import HelloFrame
from saksi.words.records import ProcessRecord

__all__ = ["MAX_STRETCHES", "AttemptFacts", "Counter", "Heard", "Watched", "stretches_length"]

MAX_STRETCHES: Final = 256
"""Enough to show where steps are missing; a run that loses every second step keeps a number instead."""
MAX_OPTIMIZERS: Final = 1024


class Counter:
    """One optimizer's updates on one connection. `stretches` are missing ones, both ends included."""

    __slots__ = ("entries", "heard", "next", "repeated", "stretches", "uncounted")

    def __init__(self) -> None:
        self.next = 0
        self.heard = 0
        self.repeated = 0
        self.uncounted = 0  # missing updates beyond the stretches that are kept
        self.stretches: list[tuple[int, int]] = []
        self.entries: list[int] = []

    def take(self, update: int, entry: int) -> bool:
        """Takes one update in; returns whether it is the one expected."""
        if update < self.next:
            self.repeated += 1
            return False
        self.heard += 1
        if update == self.next:
            self.next += 1
            return True
        self.miss(self.next, update - 1, entry)
        self.next = update + 1
        return False

    def miss(self, first: int, last: int, entry: int) -> None:
        """Notes that updates from `first` to `last` were not heard."""
        if len(self.stretches) < MAX_STRETCHES:
            self.stretches.append((first, last))
            self.entries.append(entry)
        else:
            self.uncounted += last - first + 1


class Heard:
    """One connection. `left` is whether it said goodbye, `None` while it is open."""

    __slots__ = (
        "attempt", "counters", "entry", "forked", "last_entry", "left", "lost", "lost_entry", "pid", "rank",
        "switched_off", "told", "world_size",
    )  # fmt: skip

    def __init__(self, *, attempt: int, rank: int, pid: int, entry: int, hello: HelloFrame | None) -> None:
        self.attempt = attempt
        self.rank = rank
        self.pid = pid
        self.entry = self.last_entry = entry
        self.world_size = 1 if hello is None else max(1, hello.world_size)
        self.forked = hello is not None and hello.forked
        self.switched_off = hello is not None and hello.switched_off
        self.counters: dict[int, Counter] = {}
        self.told: tuple[int, ...] | None = None
        self.left: bool | None = None
        self.lost = 0
        self.lost_entry: int | None = None

    @property
    def last_step(self) -> int | None:
        """The last Step heard."""
        counter = self.counters.get(0)
        return None if counter is None or counter.next == 0 else counter.next - 1

    @property
    def trained(self) -> bool:
        """Whether an update was heard or told of."""
        return bool(self.counters) or any(self.told or ())

    def told_of(self, optimizer: int) -> int:
        """How many updates of `optimizer` the recorder says it made; 0 if it did not say."""
        return self.told[optimizer] if self.told is not None and optimizer < len(self.told) else 0

    def counter(self, optimizer: int) -> Counter | None:
        """The counter of `optimizer`, or `None` beyond the limit."""
        found = self.counters.get(optimizer)
        if found is None and len(self.counters) < MAX_OPTIMIZERS:
            found = self.counters[optimizer] = Counter()
        return found


class AttemptFacts:
    """One launch: the entry that began it, and whether its end was recorded."""

    __slots__ = ("entry", "exited", "number")

    def __init__(self, number: int, entry: int) -> None:
        self.number = number
        self.entry = entry
        self.exited = False


class Watched:
    """The state of the coverage check."""

    def __init__(self) -> None:
        self.attempts: list[AttemptFacts] = []
        self.open: dict[tuple[int, int], Heard] = {}
        self.connections: list[Heard] = []
        self.unwitnessed: dict[tuple[int, int, int], tuple[int, ProcessRecord]] = {}
        self.blocks_absent = 0

    def generations(self) -> list[list[Heard]]:
        """Connections that trained, grouped by launch: one of each rank, in the order in which they attached.

        A rank that attaches again within one attempt (an elastic restart) opens the next group.
        """
        groups: dict[tuple[int, int], list[Heard]] = {}
        seen: dict[tuple[int, int], int] = {}
        for each in self.connections:
            if 0 not in each.counters and not each.told_of(0):
                continue
            generation = seen[each.attempt, each.rank] = seen.get((each.attempt, each.rank), -1) + 1
            groups.setdefault((each.attempt, generation), []).append(each)
        return [groups[key] for key in sorted(groups)]

    def steps(self, *, ended: bool) -> tuple[int, int]:
        """Steps expected (the highest counter heard or told of, of every launch) and Steps heard of every rank."""
        expected = witnessed = 0
        for group in self.generations():
            most = max(max(each.told_of(0), _next(each)) for each in group)
            missing = [stretch for each in group for stretch in _missing(each, most, ended=ended)]
            uncounted = max((each.counters[0].uncounted for each in group if 0 in each.counters), default=0)
            expected += most
            witnessed += max(0, most - stretches_length(missing) - uncounted)
        return expected, witnessed

    def ranks(self) -> int:
        """How many ranks trained."""
        return len({each.rank for each in self.connections if each.trained})

    def dropped(self) -> int:
        """How many frames the recorders dropped."""
        return sum(each.lost for each in self.connections)


def _next(each: Heard) -> int:
    return each.counters[0].next if 0 in each.counters else 0


def _missing(each: Heard, most: int, *, ended: bool) -> list[tuple[int, int]]:
    """Stretches of Steps that were not heard of this rank.

    One that said goodbye is held to its own number, one that is gone to that of the others.
    """
    stretches = list(each.counters[0].stretches) if 0 in each.counters else []
    gone = ended or each.left is not None
    end = each.told_of(0) if each.told is not None else most if gone else 0
    if _next(each) < end:
        stretches.append((_next(each), end - 1))
    return stretches


def stretches_length(stretches: list[tuple[int, int]]) -> int:
    """How many numbers lie in at least one of the stretches."""
    total, reached = 0, -1
    for first, last in sorted(stretches):
        total += max(0, last - max(first, reached + 1) + 1)
        reached = max(reached, last)
    return total
