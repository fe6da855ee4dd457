"""Is the gradient that ranks read the mean of their own, and do those who share it hold the same parameters.

The recorders of an attempt draw the same elements (Samples in `spec/frames.md`), so that what each rank's last backward
left can be laid beside what its optimizer read. Whether a program averages gradients behind its backward is learned
from its first Updates; only what departs from that weighs. Ranks that read the same gradients from the first Update on
are meant to be replicas: parameters that differ from the start are told.

Rules: an Update is compared where every rank of a group gave the same elements and said what the backward left. Shards,
stages and models of their own do not average, and nothing is said of them.

Known weakness: DistributedDataParallel exchanges gradients inside of the backward: what it left is exchanged already,
and what one rank gives to it is for a replay. So is a gradient that is wrong as the backward finishes it. Ranks of
several hosts are in several logs, and forked ones draw elements of their own.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Mapping
from functools import partial
from typing import Final, NamedTuple

from saksi.judgement.checks.fold import Noted, joined, observation
from saksi.judgement.checks.followed import Followed
from saksi.judgement.checks.means_group import CHECK_NAME, ENOUGH, Averaging
from saksi.judgement.checks.means_said import NOTHING, Said, said_of
from saksi.judgement.checks.sampled_process import MAX_OPTIMIZERS, SampledProcess
from saksi.judgement.checks.spoken import Spoken
from saksi.judgement.items import Item
from saksi.words.errors import MalformedInput
from saksi.words.findings import Finding
from saksi.words.frames import SampledFrame, SampleFrame, UpdateFrame

__all__ = ["MEANS", "MeansCheck"]

DIFFER: Final = "agreement.replicas_differ"
NOT_COMPARED: Final = "agreement.means_not_compared"
ALIKE: Final = 4
"""Updates from the first on at which ranks read the same gradients, after which they are taken for replicas."""
MAX_LINES: Final = 1 << 20
"""Of the layouts of all processes, as the shadow update keeps them."""
MAX_WAITING: Final = 1 << 25
"""Characters of samples whose Update other ranks have not said yet; the oldest go first."""
MAX_GROUPS: Final = 4_096
MAX_PROCESSES: Final = 65_536
_finding = partial(observation, check=CHECK_NAME)


class _Key(NamedTuple):
    """Ranks of one attempt that train together: each is the `generation`-th process of its rank."""

    attempt: int
    generation: int
    world_size: int
    optimizer: int


class _Group:
    __slots__ = ("alike", "averaging", "is_alone", "let_go", "started", "waiting")

    def __init__(self, noted: Noted) -> None:
        self.let_go = -1  # the last Update that was not waited for any more
        self.is_alone: bool | None = None  # its other ranks are in no record here
        self.waiting: dict[int, dict[int, Said | None]] = {}
        self.averaging = Averaging(noted)
        self.alike: int | None = 0  # Updates from the first on at which all read the same and held others
        self.started: Finding | None = None


class _Process(SampledProcess):
    __slots__ = ("generation",)

    def __init__(self) -> None:
        super().__init__()
        self.generation: int | None = None


class _State:
    __slots__ = ("followed", "generations", "groups", "noted", "waiting")

    def __init__(self) -> None:
        self.noted = Noted()
        self.waiting = 0
        self.generations: Counter[tuple[int, int]] = Counter()
        self.groups: dict[_Key, _Group] = {}
        self.followed = Followed(_Process, size=MAX_LINES, noted=self.noted, what="gradients of ranks are not compared")


class MeansCheck:
    """Every Update that all ranks of a group gave the same samples of."""

    name = CHECK_NAME

    def start(self) -> _State:
        """See `Check.start`."""
        return _State()

    def step(self, state: _State, item: Item) -> tuple[_State, tuple[Finding, ...]]:
        """See `Check.step`."""
        for said, process in state.followed.take(item, SampledFrame | SampleFrame | UpdateFrame):
            frame = said.frame
            if said.hello.world_size <= 1:
                continue
            if isinstance(frame, SampledFrame | SampleFrame):
                process.hears(frame, state.followed.room)
            elif isinstance(frame, UpdateFrame) and frame.optimizer < MAX_OPTIMIZERS:
                _take(state, process, frame, said)
        return state, state.noted.news()

    def finish(self, state: _State, *, ended: bool) -> tuple[Finding, ...]:
        """See `Check.finish`."""
        del ended
        told = (each for group in state.groups.values() for each in group.averaging.findings())
        return (*state.noted.kept(), *told)


def _take(state: _State, process: _Process, frame: UpdateFrame, said: Spoken) -> None:
    samples = process.of(frame)
    group = _group(state, process, frame, said)
    if group is None or group.is_alone or frame.update <= group.let_go:
        return
    if frame.skipped:
        group.averaging.is_plain = False  # a scaler's factor changes behind it
    one = said_of(process, samples, frame, said.entry)
    waiting = group.waiting.setdefault(frame.update, {})
    state.waiting += 0 if said.rank in waiting else _size(one)
    waiting.setdefault(said.rank, one)
    if len(waiting) == said.hello.world_size:
        group.is_alone = False
        _forget(state, group, frame.update)
        ranks = {rank: each for rank, each in sorted(waiting.items()) if each is not None}
        if len(ranks) == len(waiting):
            _compare(state, group, frame, ranks)
    while state.waiting > MAX_WAITING:
        _make_room(state)


def _group(state: _State, process: _Process, frame: UpdateFrame, said: Spoken) -> _Group | None:
    if process.generation is None:
        place = said.process.attempt, said.rank
        if place not in state.generations and len(state.generations) >= MAX_PROCESSES:
            return None
        process.generation = state.generations[place]
        state.generations[place] += 1
    key = _Key(said.process.attempt, process.generation, said.hello.world_size, frame.optimizer)
    if key not in state.groups and len(state.groups) >= MAX_GROUPS:
        return None
    if key not in state.groups:
        state.groups[key] = _Group(state.noted)
    return state.groups[key]


def _size(said: Said | None) -> int:
    return NOTHING if said is None else said.size


def _forget(state: _State, group: _Group, update: int) -> None:
    state.waiting -= sum(_size(each) for each in group.waiting.pop(update).values())


def _make_room(state: _State) -> None:
    """Let go of what waits longest in the group that waits for most; one that never was whole is not kept again."""
    group = max(state.groups.values(), key=lambda each: len(each.waiting))
    group.is_alone = group.is_alone is None
    for update in list(group.waiting) if group.is_alone else [next(iter(group.waiting))]:
        group.let_go = max(group.let_go, update)
        _forget(state, group, update)


def _compare(state: _State, group: _Group, frame: UpdateFrame, ranks: Mapping[int, Said]) -> None:
    step = frame.update if frame.optimizer == 0 else None
    of = partial(_finding, steps=(step, step), evidence=tuple(sorted({each.entry for each in ranks.values()})))
    if any(each.key is None for each in ranks.values()):
        what = "Ranks drew elements of their gradients with keys of their own, so that their mean is not compared."
        message = f"{what} Ranks that are forked, and an agent that was late as they began, do that."
        name = f"gradients of optimizer {frame.optimizer}"
        state.noted.note(of(code=NOT_COMPARED, severity="info", subject=name, message=message, ranks=tuple(ranks)))
    elif len({each.places for each in ranks.values()}) > 1:  # shards, stages, experts of their own
        group.alike = None
        if (group.averaging.held or 0) < ENOUGH:
            group.averaging.held = None
            return
        what = "Ranks gave other elements of their gradients than each other, so that their mean is not compared."
        message = f"{what} A tensor without a gradient on one of them does that."
        name = f"gradients of optimizer {frame.optimizer}"
        state.noted.note(of(code=NOT_COMPARED, severity="info", subject=name, message=message, ranks=tuple(ranks)))
    else:
        _replicas(state, group, frame, ranks, of)
        if all(each.is_finished for each in ranks.values()):
            with contextlib.suppress(ArithmeticError, MalformedInput):  # whoever speaks as the job chooses the numbers
                group.averaging.take(frame.optimizer, ranks, of)


def _replicas(
    state: _State, group: _Group, frame: UpdateFrame, ranks: Mapping[int, Said], of: partial[Finding]
) -> None:
    """Ranks that read the same gradients for all of their tensors, from the first Update on, and hold others."""
    starts = {rank: each.start for rank, each in ranks.items() if each.start is not None}
    is_shared = len(starts) == len(ranks) and len({each[1:] for each in starts.values()}) == 1
    is_same = len({each.spelled for each in ranks.values()}) == 1 and all(each.is_whole for each in ranks.values())
    apart = _apart({rank: each[0] for rank, each in starts.items()}) if is_shared and is_same else ()
    is_first = group.alike == 0
    if group.alike is None or not apart or (is_first and frame.update) or _are_zero(ranks):
        group.alike = None  # those that part later are told by another check
        return
    group.alike += 1
    what = "Ranks read the same gradients at each update, and their parameters were different from the start on:"
    message = (
        f"{what} each trains a model of its own on the mean of all. Weights that nobody handed out, a rank that loaded "
        "another file and one that was seeded otherwise look the same."
    )
    name = f"parameters of optimizer {frame.optimizer}"
    found = of(code=DIFFER, severity="warning", subject=name, message=message, ranks=apart)
    group.started = found if group.started is None else joined(group.started, found)
    if group.alike >= ALIKE:
        state.noted.note(group.started)


def _are_zero(ranks: Mapping[int, Said]) -> bool:
    """Whether there is no gradient at all."""
    return not any(each.strip("A=") for said in ranks.values() for each in said.spelled)


def _apart(values: Mapping[int, str]) -> tuple[int, ...]:
    """The ranks that are not with the most; all of them where there is no majority; none where all are equal."""
    counted = Counter(values.values()).most_common()
    if len(counted) == 1:
        return ()
    if counted[0][1] == counted[1][1]:
        return tuple(sorted(values))
    return tuple(sorted(rank for rank, value in values.items() if value != counted[0][0]))


MEANS: Final = MeansCheck()
