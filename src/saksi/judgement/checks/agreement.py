"""Do ranks that hold the same parameters go on holding the same, and do ranks that had data of their own still have it.

Ranks are compared at Updates that all of a group have said. Those whose parameters began equal are replicas, as under
DDP, and must stay so; shards differ from the start and are not judged. Batches may be equal by design (tensor and
pipeline parallel ranks); what is told is that they were different at first and are not any more.

Known weakness: parameters are compared by sums in each rank's own memory, once an Update. Ranks that were started again
by themselves are not compared with those that went on.
"""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import Final, NamedTuple

from saksi.judgement.checks.fold import Noted, observation
from saksi.judgement.checks.spoken import ProcessKey, Speakers, Spoken
from saksi.judgement.items import Item
from saksi.words.digest import sha256
from saksi.words.findings import Finding
from saksi.words.frames import UpdateFrame

__all__ = ["AGREEMENT", "AgreementCheck"]

CHECK_NAME: Final = "agreement"
DIFFER: Final = "agreement.replicas_differ"
SAME_DATA: Final = "agreement.batches_equal"
EQUAL_FOR: Final = 4
"""Updates in a row with equal batches after different ones: a small data set may repeat one by chance."""
MAX_OPTIMIZERS: Final = 16
MAX_WAITING: Final = 1 << 18
"""Updates, of each rank, that the others have not said yet; the oldest of a group go first."""
MAX_GROUPS: Final = 4_096
MAX_PROCESSES: Final = 65_536
SUM: Final = "sum64-4096"
_finding = partial(observation, check=CHECK_NAME)


class _Said(NamedTuple):
    """What one rank said of one Update that others can be held to."""

    start: str | None
    end: str | None
    share: tuple[int, int]
    batches: bytes
    entry: int


class _Key(NamedTuple):
    """Ranks of one attempt that train together: each is the `generation`-th process of its rank."""

    attempt: int
    generation: int
    world_size: int
    optimizer: int


class _Group:
    __slots__ = ("differed", "equal", "let_go", "replicas", "waiting")

    def __init__(self) -> None:
        self.let_go = -1  # the last Update that was not waited for any more
        self.waiting: dict[int, dict[int, _Said]] = {}
        self.replicas: bool | None = None
        self.differed = False  # batches, at some Update
        self.equal: list[int] = []  # the first Updates in a row at which they were equal


class _Process(NamedTuple):
    generation: int
    world_size: int
    rank: int


class _State:
    __slots__ = ("generations", "groups", "noted", "processes", "speakers", "waiting")

    def __init__(self) -> None:
        self.waiting = 0
        self.speakers = Speakers()
        self.generations: Counter[tuple[int, int]] = Counter()
        self.processes: dict[tuple[ProcessKey, int], _Process] = {}
        self.groups: dict[_Key, _Group] = {}
        self.noted = Noted()


class AgreementCheck:
    """Every Update that all ranks of a group have said."""

    name = CHECK_NAME

    def start(self) -> _State:
        """See `Check.start`."""
        return _State()

    def step(self, state: _State, item: Item) -> tuple[_State, tuple[Finding, ...]]:
        """See `Check.step`."""
        for said in state.speakers.take(item):
            frame = said.frame
            if isinstance(frame, UpdateFrame) and said.hello.world_size > 1 and not frame.skipped:
                self._take(state, said, frame)
        return state, state.noted.news()

    def finish(self, state: _State, *, ended: bool) -> tuple[Finding, ...]:
        """See `Check.finish`."""
        del ended
        return state.noted.kept()

    def _take(self, state: _State, spoken: Spoken, frame: UpdateFrame) -> None:
        process = _process(state, spoken)
        if process is None or frame.optimizer >= MAX_OPTIMIZERS:
            return
        key = _Key(spoken.process.attempt, process.generation, process.world_size, frame.optimizer)
        group = state.groups.get(key)
        if group is None:
            if len(state.groups) >= MAX_GROUPS:
                return
            group = state.groups[key] = _Group()
        if frame.update <= group.let_go:
            return
        said = group.waiting.setdefault(frame.update, {})
        state.waiting += process.rank not in said
        said[process.rank] = _said(frame, spoken.entry)
        if len(said) == process.world_size:
            self._compare(state, group, frame, said)
            state.waiting -= len(group.waiting.pop(frame.update))
        elif state.waiting > MAX_WAITING:
            group.let_go = next(iter(group.waiting))
            state.waiting -= len(group.waiting.pop(group.let_go))

    def _compare(self, state: _State, group: _Group, frame: UpdateFrame, said: dict[int, _Said]) -> None:
        step = frame.update if frame.optimizer == 0 else None
        of = partial(
            _finding,
            severity="warning",
            steps=(step, step),
            evidence=tuple(sorted({each.entry for each in said.values()})),
        )
        starts = {rank: each.start for rank, each in said.items() if each.start is not None}
        ends = {rank: each.end for rank, each in said.items() if each.end is not None}
        if len({each.share for each in said.values()}) == 1 and len(starts) == len(ends) == len(said):
            if group.replicas is None:
                group.replicas = len(set(starts.values())) == 1
            apart = _apart(starts) or _apart(ends)
            if group.replicas and apart:
                message = (
                    "Ranks whose parameters began equal are not equal any more. A gradient that was not exchanged, a "
                    "module that was called past its wrapper, a rank that loaded another file and a device that "
                    "computes wrongly look the same."
                )
                subject = f"parameters of optimizer {frame.optimizer}"
                state.noted.note(of(code=DIFFER, subject=subject, message=message, ranks=apart))
        self._data(state, group, frame, said, of)

    def _data(
        self, state: _State, group: _Group, frame: UpdateFrame, said: dict[int, _Said], of: partial[Finding]
    ) -> None:
        if frame.optimizer or not all(each.batches for each in said.values()):
            return
        if len({each.batches for each in said.values()}) > 1:
            group.differed = True
            group.equal.clear()
            return
        if len(group.equal) < EQUAL_FOR:
            group.equal.append(frame.update)
        if group.differed and len(group.equal) == EQUAL_FOR:
            message = (
                "Ranks that had data of their own have the same batches now. A sampler that is not told its rank and "
                "generators that were seeded alike look the same."
            )
            ranks, steps = tuple(sorted(said)), (group.equal[0], frame.update)
            state.noted.note(of(code=SAME_DATA, subject="batches", message=message, ranks=ranks, steps=steps))


def _process(state: _State, spoken: Spoken) -> _Process | None:
    """Who speaks; it is counted as it makes its first Update, under the rank that it has then."""
    hello = spoken.hello
    key = (spoken.process, hello.rank)
    known = state.processes.get(key)
    if known is None and len(state.processes) < MAX_PROCESSES:
        generation = state.generations[spoken.process.attempt, hello.rank]
        state.generations[spoken.process.attempt, hello.rank] += 1
        known = state.processes[key] = _Process(generation, hello.world_size, hello.rank)
    return known


def _said(frame: UpdateFrame, entry: int) -> _Said:
    digests = [each.digest for each in frame.batches if each.digest is not None]
    batches = sha256("\n".join(digests).encode()).value if digests else b""
    for each in frame.fingerprints:
        if each.name == SUM and each.over == "parameters":
            return _Said(each.start, each.end, (each.share, each.of), batches, entry)
    return _Said(None, None, (0, 0), batches, entry)


def _apart(values: dict[int, str]) -> tuple[int, ...]:
    """The ranks that are not with the most; all of them where there is no majority; none where all are equal."""
    counted = Counter(values.values()).most_common()
    if len(counted) == 1:
        return ()
    if counted[0][1] == counted[1][1]:
        return tuple(sorted(values))
    return tuple(sorted(rank for rank, value in values.items() if value != counted[0][0]))


AGREEMENT: Final = AgreementCheck()
