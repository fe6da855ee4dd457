"""What was watched of a run: its attempts, the processes that attached, and those that were seen from outside."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

import msgspec

from saksi.judgement.checks.trainee import Counted, Greeting, Heard, Trainee
from saksi.judgement.rank_groups import grouped, present_ranks
from saksi.words.digest import sha256
from saksi.words.frames import HelloFrame
from saksi.words.records import AttachRecord, GpuProcess, GpusRecord, ProcessRecord

__all__ = ["AttemptFacts", "RankGroup", "Watched"]

LOOK_NS: Final = 10_000_000_000
MAX_ON_GPUS: Final = 4_096
MAX_PROCESSES: Final = 65_536


class _Process(NamedTuple):
    """What is asked later of a process that the agent looked at, as it was first seen: there may be many."""

    ppid: int
    forked: bool
    command: bytes

    @classmethod
    def of(cls, record: ProcessRecord) -> _Process:
        """Of the command, only whether it is the same as another's is asked."""
        return cls(record.ppid, record.forked, sha256(msgspec.json.encode(record.command)).value)


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

    @property
    def trained_ns(self) -> int | None:
        """When the first updates of one of them were written down."""
        return min((each.trained_ns for each in self.trainees if each.trained_ns is not None), default=None)


class AttemptFacts:
    """One launch: the entry that began it, and whether its end was recorded."""

    __slots__ = ("entry", "exited", "number")

    def __init__(self, number: int, entry: int) -> None:
        self.number = number
        self.entry = entry
        self.exited = False


class Watched:
    """The state of the coverage check. `processes` are those that the agent looked at, as they were first seen.

    `now_ns` is when the last block was written, by the agent's monotonic clock.
    """

    def __init__(self) -> None:
        self.now_ns = self._looked_ns = 0
        self.attempts: list[AttemptFacts] = []
        self.open: dict[tuple[int, int], Heard] = {}
        self.trainees: dict[Trainee, None] = {}  # in the order in which they attached
        self.processes: dict[tuple[int, int], _Process] = {}
        self.unwitnessed: dict[tuple[int, int, int], tuple[int, ProcessRecord]] = {}
        self.on_gpus: dict[tuple[int, int, int], tuple[int, GpuProcess]] = {}  # and not witnessed
        self._by_pid: dict[tuple[int, int], Trainee] = {}

    def attach(self, index: int, record: AttachRecord, hello: HelloFrame | None) -> None:
        """A connection begins: of a process that goes on, if it has its pid and its key and said no goodbye."""
        key = (record.attempt, record.peer.pid)
        greeting = None if hello is None else Greeting.of(hello)
        trainee = self._by_pid.get(key)
        if trainee is None or trainee.left or not _same_recorder(trainee.last.hello, greeting):
            trainee = self._by_pid[key] = Trainee(record.attempt, record.peer.pid)
            self.trainees[trainee] = None
        self.open[record.attempt, record.connection] = Heard(
            trainee=trainee, rank=record.rank, entry=index, hello=greeting
        )

    def left(self, heard: Heard) -> None:
        """A connection ended. A process that said goodbye and never trained is not asked about again."""
        trainee = heard.trainee
        if trainee.left and not trainee.trained and not trainee.lost:
            self.trainees.pop(trainee, None)
            if self._by_pid.get((trainee.attempt, trainee.pid)) is trainee:
                del self._by_pid[trainee.attempt, trainee.pid]

    def updated(self, trainee: Trainee, now_ns: int) -> bool:
        """Updates of it were written down. Whether it is time to look for ranks that are late: not at every block."""
        self.now_ns = now_ns
        if trainee.trained_ns is None:
            trainee.trained_ns = now_ns
        if (
            trainee.world_size == 1 or 0 <= now_ns - self._looked_ns < LOOK_NS
        ):  # the clock of another boot may be behind
            return False
        self._looked_ns = now_ns
        return True

    def unannounced(self, index: int, attempt: int, connection: int, rank: int) -> Heard:
        """A connection without an attach record: its frames count as heard."""
        trainee = Trainee(attempt, 0)
        self.trainees[trainee] = None
        heard = self.open[attempt, connection] = Heard(trainee=trainee, rank=rank, entry=index, hello=None)
        return heard

    def observe(self, record: ProcessRecord) -> None:
        """What the kernel said of a process when it was first looked at."""
        if len(self.processes) < MAX_PROCESSES:
            self.processes.setdefault((record.attempt, record.pid), _Process.of(record))

    def on_gpu(self, index: int, record: GpusRecord) -> None:
        """Processes of the job were seen to compute on a GPU."""
        for each in record.processes:
            key = (record.attempt, each.pid, each.started_ticks)
            if each.witnessed:
                self.on_gpus.pop(key, None)
            elif len(self.on_gpus) < MAX_ON_GPUS:
                self.on_gpus.setdefault(key, (index, each))

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
        return any(self._has_trained(trainee.attempt, pid) for pid in self._ancestors(trainee))

    def _has_trained(self, attempt: int, pid: int) -> bool:
        found = self._by_pid.get((attempt, pid))
        return found is not None and found.trained

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
        found = grouped(members)
        for places, present in zip(found, present_ranks(members, found), strict=True):
            group = [trained[at] for at in places]
            attempt = group[0].attempt
            number = groups[-1].number + 1 if groups and groups[-1].attempt == attempt else 0
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
            witnessed += max(0, most - _length(missing) - max(each.uncounted for each in counted))
        return expected, witnessed

    def ranks(self) -> int:
        """How many ranks trained."""
        return len({each.rank for each in self.trainees if each.trained})

    def dropped(self) -> int:
        """How many frames the recorders dropped."""
        return sum(each.lost for each in self.trainees)


def _same_recorder(earlier: Greeting | None, later: Greeting | None) -> bool:
    """Whether two hellos of one pid are of one recorder."""
    return earlier is not None and later is not None and earlier.recorder == later.recorder


def _missing(each: Trainee, counted: Counted, most: int, *, ended: bool) -> list[tuple[int, int]]:
    """Stretches of Steps that were not heard of this rank.

    One that said goodbye is held to its own number, one that is gone to that of the others.
    """
    gone = ended or each.left is not None
    end = each.told_of(0) if each.told is not None else most if gone else 0
    return [*counted.stretches, (counted.next, end - 1)] if counted.next < end else counted.stretches


def _length(stretches: list[tuple[int, int]]) -> int:
    """How many numbers lie in at least one of the stretches."""
    total, reached = 0, -1
    for first, last in sorted(stretches):
        total += max(0, last - max(first, reached + 1) + 1)
        reached = max(reached, last)
    return total
