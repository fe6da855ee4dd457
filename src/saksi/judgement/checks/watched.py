"""What was watched of each process, connection and attempt: the counting under the coverage check.

A process may speak on several connections, one after the other (`spec/frames.md`, Connecting): its counters of updates
and of what was lost go on. Memory is bounded: of the steps that are missing 256 stretches are kept for each counter,
the rest is a number.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from saksi.judgement.rank_groups import Member, grouped, overlapping
from saksi.words.frames import HelloFrame
from saksi.words.limits import MAX_OPTIMIZERS
from saksi.words.records import AttachRecord, ProcessRecord

__all__ = [
    "MAX_STRETCHES",
    "AttemptFacts",
    "Counted",
    "Counter",
    "Heard",
    "RankGroup",
    "Trainee",
    "Watched",
    "stretches_length",
]

MAX_STRETCHES: Final = 256
"""Enough to show where steps are missing; a run that loses every second step keeps a number instead."""


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

    def __init__(self, *, trainee: Trainee, rank: int, entry: int, hello: HelloFrame | None) -> None:
        self.trainee = trainee
        self.rank = rank
        self.entry = self.last_entry = entry
        self.hello = hello
        self.counters: dict[int, Counter] = {}
        self.told: tuple[int, ...] | None = None
        self.left: bool | None = None
        self.ended: int | None = None
        self.lost = 0
        self.lost_entry: int | None = None
        trainee.connections.append(self)

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

    __slots__ = ("attempt", "connections", "pid")

    def __init__(self, attempt: int, pid: int) -> None:
        self.attempt = attempt
        self.pid = pid
        self.connections: list[Heard] = []

    @property
    def last(self) -> Heard:
        """The connection that began last."""
        return self.connections[-1]

    @property
    def rank(self) -> int:
        """The rank it said last: a rank may be known only after the first hello."""
        return self.last.rank

    @property
    def world_size(self) -> int:
        """The most ranks it spoke of."""
        return max((each.hello.world_size for each in self.connections if each.hello is not None), default=1)

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


class RankGroup(NamedTuple):
    """Processes that trained together. `present` are all ranks that trained while they did."""

    attempt: int
    number: int
    trainees: list[Trainee]
    present: frozenset[int]

    @property
    def world_size(self) -> int:
        """The most ranks that one of them spoke of."""
        return max(each.world_size for each in self.trainees)


class AttemptFacts:
    """One launch: the entry that began it, and whether its end was recorded."""

    __slots__ = ("entry", "exited", "number")

    def __init__(self, number: int, entry: int) -> None:
        self.number = number
        self.entry = entry
        self.exited = False


class Watched:
    """The state of the coverage check. `processes` are those that the agent looked at, as they were first seen."""

    def __init__(self) -> None:
        self.attempts: list[AttemptFacts] = []
        self.open: dict[tuple[int, int], Heard] = {}
        self.trainees: list[Trainee] = []
        self.processes: dict[tuple[int, int], ProcessRecord] = {}
        self.unwitnessed: dict[tuple[int, int, int], tuple[int, ProcessRecord]] = {}
        self._by_pid: dict[tuple[int, int], Trainee] = {}

    def attach(self, index: int, record: AttachRecord, hello: HelloFrame | None) -> None:
        """A connection begins: of a process that goes on, if it has its pid and its key and said no goodbye."""
        key = (record.attempt, record.peer.pid)
        trainee = self._by_pid.get(key)
        if trainee is None or trainee.left or not _same_recorder(trainee.last.hello, hello):
            trainee = self._by_pid[key] = Trainee(record.attempt, record.peer.pid)
            self.trainees.append(trainee)
        self.open[record.attempt, record.connection] = Heard(
            trainee=trainee, rank=record.rank, entry=index, hello=hello
        )

    def unannounced(self, index: int, attempt: int, connection: int, rank: int) -> Heard:
        """A connection without an attach record: its frames count as heard."""
        trainee = Trainee(attempt, 0)
        self.trainees.append(trainee)
        heard = self.open[attempt, connection] = Heard(trainee=trainee, rank=rank, entry=index, hello=None)
        return heard

    def observe(self, record: ProcessRecord) -> None:
        """What the kernel said of a process when it was first looked at."""
        self.processes.setdefault((record.attempt, record.pid), record)

    def is_worker(self, trainee: Trainee) -> bool:
        """Whether a process that made no update is a worker by construction: nothing is expected of its end.

        That is a fork of a process that had attached (it connects only to save or to train, and made no update), and a
        descendant of a process that trains under watch: workers of a DataLoader that are spawned, or forked by a fork
        server, end by os._exit or by their loader's signal. What was observed of a process goes before what it claims.
        """
        if trainee.trained:
            return False
        seen = self.processes.get((trainee.attempt, trainee.pid))
        if trainee.forked and (seen is None or seen.forked):
            return True
        trained = {each.pid for each in self.trainees if each.attempt == trainee.attempt and each.trained}
        return any(pid in trained for pid in self._ancestors(trainee))

    def _ancestors(self, trainee: Trainee) -> Iterator[int]:
        past = {trainee.pid}
        parent = self._parent(trainee.attempt, trainee.pid)
        while parent is not None and parent not in past:
            past.add(parent)
            yield parent
            parent = self._parent(trainee.attempt, parent)

    def _parent(self, attempt: int, pid: int) -> int | None:
        seen = self.processes.get((attempt, pid))
        if seen is not None:
            return seen.ppid
        trainee = self._by_pid.get((attempt, pid))
        hello = None if trainee is None else trainee.connections[0].hello
        return None if hello is None else hello.ppid

    def rank_groups(self) -> list[RankGroup]:
        """The groups of processes that trained together, in order; `number` counts an attempt's from 0."""
        trained = [each for each in self.trainees if each.last_step is not None or each.told_of(0)]
        members = [each.member for each in trained]
        groups: list[RankGroup] = []
        for places in grouped(members):
            group = [trained[at] for at in places]
            attempt = group[0].attempt
            number = groups[-1].number + 1 if groups and groups[-1].attempt == attempt else 0
            present = frozenset(trained[at].rank for at in overlapping(members, places))
            groups.append(RankGroup(attempt, number, group, present))
        return groups

    def steps(self, *, ended: bool) -> tuple[int, int]:
        """Steps expected (the highest counter heard or told of, of every launch) and Steps heard of every rank."""
        expected = witnessed = 0
        for _, _, group, _ in self.rank_groups():
            counted = [each.counted(0) for each in group]
            most = max(max(each.told_of(0), found.next) for each, found in zip(group, counted, strict=True))
            missing: list[tuple[int, int]] = []
            for each, found in zip(group, counted, strict=True):
                missing += _missing(each, found, most, ended=ended)
            expected += most
            witnessed += max(0, most - stretches_length(missing) - max(each.uncounted for each in counted))
        return expected, witnessed

    def ranks(self) -> int:
        """How many ranks trained."""
        return len({each.rank for each in self.trainees if each.trained})

    def dropped(self) -> int:
        """How many frames the recorders dropped."""
        return sum(each.lost for each in self.trainees)


def _same_recorder(earlier: HelloFrame | None, later: HelloFrame | None) -> bool:
    """Whether two hellos of one pid are of one recorder: its key is new in every process, also behind an exec."""
    return earlier is not None and later is not None and earlier.fingerprint_key == later.fingerprint_key


def _missing(each: Trainee, counted: Counted, most: int, *, ended: bool) -> list[tuple[int, int]]:
    """Stretches of Steps that were not heard of this rank.

    One that said goodbye is held to its own number, one that is gone to that of the others.
    """
    gone = ended or each.left is not None
    end = each.told_of(0) if each.told is not None else most if gone else 0
    return [*counted.stretches, (counted.next, end - 1)] if counted.next < end else counted.stretches


def stretches_length(stretches: list[tuple[int, int]]) -> int:
    """How many numbers lie in at least one of the stretches."""
    total, reached = 0, -1
    for first, last in sorted(stretches):
        total += max(0, last - max(first, reached + 1) + 1)
        reached = max(reached, last)
    return total
