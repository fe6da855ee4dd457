"""The first steps of an attempt, as its processes told of them: of each rank, the first process that trains.

Rules: a rehearsal and the launch that is held to it are read by this code alike; what a hostile run can send is bounded
by what a rehearsal may hold; forked processes are left out, since their counters begin anew.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Final

import msgspec

from saksi.judgement.deferral import Deferral
from saksi.judgement.items import Item
from saksi.judgement.rehearsal.values import (
    Rehearsal,
    RehearsedBatch,
    RehearsedHook,
    RehearsedOptimizer,
    RehearsedRank,
    RehearsedRoot,
    RehearsedSeed,
    RehearsedUpdate,
    plain,
)
from saksi.words.errors import MalformedInput
from saksi.words.frames import (
    AnyFrame,
    Batch,
    CkptFrame,
    HelloFrame,
    InventoryFrame,
    OptimizerFrame,
    RootFrame,
    SeededFrame,
    UpdateFrame,
)
from saksi.words.records import AttachRecord, BlockRecord

__all__ = ["FirstSteps", "ProcessSteps", "rehearsal_of"]

MAX_BYTES: Final = 4 << 20
"""Kept of one process: no more fits the file that it is compared with."""
MAX_NAMED: Final = 4096
"""Hooks, optimizers, seeds of one process: each is a finding or an excuse, and no more are read than people would."""
_ROOTS: Final = ("attach", "step")


class ProcessSteps:
    """One process until its Step `steps - 1`. `entries` leads from a Step to the entry of the log that tells of it."""

    def __init__(self, steps: int) -> None:
        self._steps = steps
        self._hello: HelloFrame | None = None
        self._seeded: set[RehearsedSeed] = set()
        self._optimizers: dict[int, RehearsedOptimizer] = {}
        self._hooks: dict[tuple[str, str], RehearsedHook] = {}
        self._updates: dict[tuple[int, int], RehearsedUpdate] = {}
        self._roots: dict[int, RehearsedRoot] = {}
        self._loads = 0
        self._size = 0
        self.entries: dict[int, int] = {}
        self.deferral: Deferral[int] = Deferral()

    @property
    def forked(self) -> bool:
        """Whether this is a forked process."""
        return self._hello is not None and self._hello.forked

    @property
    def heard(self) -> int:
        """How many of the Steps were heard."""
        return len(self.entries)

    @property
    def over(self) -> bool:
        """Whether the last Step was heard, or more than is kept."""
        return self._steps - 1 in self.entries or self._size > MAX_BYTES

    @property
    def has_last_root(self) -> bool:
        """Whether the state root after the last Step was heard."""
        return self._steps - 1 in self._roots

    def take(self, frame: AnyFrame, entry: int) -> bool:
        """Takes one frame in; whether it was one of those that count."""
        if isinstance(frame, RootFrame):
            if frame.at not in _ROOTS or frame.step >= self._steps or frame.step in self._roots:
                return False
            self._roots[frame.step] = RehearsedRoot(step=frame.step, root=frame.root, layout=frame.layout)
            return True
        if self.over:
            return False
        self._size += self._take(frame, entry)
        return True

    def _take(self, frame: AnyFrame, entry: int) -> int:
        """What was taken of a frame, in bytes."""
        match frame:
            case HelloFrame():
                self._hello = frame
            case SeededFrame() if len(self._seeded) < MAX_NAMED:
                self._seeded.add(RehearsedSeed(generator=frame.generator, seed=frame.seed))
            case CkptFrame(action="loaded") if not self.entries:
                self._loads += 1
            case OptimizerFrame() if len(self._optimizers) < MAX_NAMED:
                made = RehearsedOptimizer(
                    ordinal=frame.ordinal, class_name=frame.class_name, defaults=plain(frame.defaults)
                )
                self._optimizers.setdefault(frame.ordinal, made)
                return len(msgspec.json.encode(made))
            case InventoryFrame():
                self._inventory(frame)
            case UpdateFrame():
                update = _update(frame)
                self._updates.setdefault((frame.optimizer, frame.update), update)
                if frame.optimizer == 0 and frame.update < self._steps:
                    self.entries.setdefault(frame.update, entry)
                return len(msgspec.json.encode(update))
            case _:
                pass
        return 0

    def _inventory(self, frame: InventoryFrame) -> None:
        step = max(self.entries, default=-1) + 1
        for table, names in frame.hooks.items():
            for name in names:
                if len(self._hooks) < MAX_NAMED:
                    self._hooks.setdefault((table, name), RehearsedHook(table=table, name=name, step=step))

    @property
    def world_size(self) -> int:
        """How many processes train, as this one says."""
        return 1 if self._hello is None else self._hello.world_size

    def value(self, rank: int) -> RehearsedRank | None:
        """All of it; `None` for a process that said no hello."""
        hello = self._hello
        if hello is None:
            return None
        return RehearsedRank(
            rank=rank,
            world_size=hello.world_size,
            python=hello.python,
            torch=hello.torch,
            threads=hello.threads,
            deterministic=hello.deterministic,
            flags=plain(hello.flags),
            loads=self._loads,
            seeded=tuple(sorted(self._seeded)),
            optimizers=tuple(self._optimizers[each] for each in sorted(self._optimizers)),
            hooks=tuple(self._hooks[each] for each in sorted(self._hooks)),
            updates=tuple(self._updates[each] for each in sorted(self._updates)),
            roots=tuple(self._roots[each] for each in sorted(self._roots)),
        )


def _update(frame: UpdateFrame) -> RehearsedUpdate:
    return RehearsedUpdate(
        optimizer=frame.optimizer,
        update=frame.update,
        groups=() if "groups" in frame.deferred else tuple(plain(frame.groups)),
        groups_omitted=frame.groups_omitted,
        batches=tuple(_batch(each) for each in frame.batches),
        batches_omitted=frame.batches_omitted,
        rng=plain(frame.rng),
        loss=None if frame.loss is None else _number(frame.loss),
    )


def _number(loss: float | str) -> str:
    return loss if isinstance(loss, str) else msgspec.json.encode(float(loss)).decode()


def _batch(batch: Batch) -> RehearsedBatch:
    ids = None if batch.ids is None else hashlib.sha256(msgspec.json.encode(batch.ids)).hexdigest()
    return RehearsedBatch(loader=batch.loader, ordinal=batch.ordinal, digest=batch.digest, ids=ids)


class FirstSteps:
    """The first `steps` Steps of one attempt. `ranks` are the processes that were heard, by rank."""

    def __init__(self, steps: int) -> None:
        self._steps = steps
        self._pids: dict[int, int] = {}
        self._processes: dict[int, ProcessSteps] = {}
        self.ranks: dict[int, ProcessSteps] = {}

    @property
    def attached(self) -> int:
        """How many processes attached."""
        return len(self._processes)

    @property
    def over(self) -> bool:
        """Whether the last Step of every process was heard."""
        known = list(self.ranks.values())
        return bool(known) and len(known) >= max(each.world_size for each in known) and all(each.over for each in known)

    def take(self, item: Item) -> set[int]:
        """Takes one item of the attempt in; the ranks of which something new is known."""
        record = item.record
        if isinstance(record, AttachRecord):
            self._pids[record.connection] = record.peer.pid
            self._processes.setdefault(record.peer.pid, ProcessSteps(self._steps)).deferral = Deferral()
            return set()
        if not isinstance(record, BlockRecord):
            return set()
        process = self._processes.get(self._pids.get(record.connection, -1))
        if process is None or self.ranks.get(record.rank, process) is not process:
            return set()
        news = False
        for line in item.lines:
            for frame, entry in process.deferral.take(line.frame, item.index, len(line.raw)):
                news = process.take(frame, entry) or news
        if not news or not process.heard or process.forked:
            return set()
        self.ranks[record.rank] = process
        return {record.rank}


def rehearsal_of(items: Iterable[Item], steps: int) -> Rehearsal:
    """The first `steps` Steps in a record. Raises `MalformedInput` for a record that has fewer, or too much in them."""
    first = FirstSteps(steps)
    for item in items:
        if item.record.attempt == 0:
            first.take(item)
    values = [each.value(rank) for rank, each in sorted(first.ranks.items())]
    heard = min((each.heard for each in first.ranks.values()), default=0)
    if heard < steps:
        raise MalformedInput("rehearsal", f"{heard} of {steps} steps are in the record")
    return Rehearsal(steps=steps, ranks=tuple(each for each in values if each is not None))
