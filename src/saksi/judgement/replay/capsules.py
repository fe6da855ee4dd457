"""The capsules of a run as places to replay from, and what a recorder has to know to get there (`spec/capsule.md`).

A program that is replayed from a capsule runs from its start, hollow: it computes no gradients and makes no updates
until the Step behind which the capsule was taken, and is told of the losses and norms that the record has until there.
Behind it nothing is told: what is compared was computed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final

import msgspec

from saksi.judgement.items import Item
from saksi.judgement.replay.stretches import CapsuleFile, Restart, Stretch
from saksi.words.frames import UpdateFrame
from saksi.words.records import BlockRecord, CapsuleRecord

__all__ = ["MAX_MADE", "capsules_within", "made_until", "saves_steps"]

MAX_MADE: Final = 2_000_000
"""Updates before a capsule, of one rank: some hundred megabytes of what was recorded of them."""
_VERSION: Final = 1
_WHOLE: Final = ("python", "numpy", "torch")
_SHORT: Final = 32
_EXECUTED: Final = 0.4
"""Of a Step that is skipped with models executed forwards, and of what a Step takes: a third is usual."""


def capsules_within(items: Iterable[Item], attempt: int, ranks: Collection[int]) -> tuple[Restart, ...]:
    """Where each of these ranks of an attempt has one whose content the agent read, in order.

    Of the log alone, so that nobody chooses the places by removing files: one that is gone by now is a place too.
    """
    found: dict[int, dict[int, CapsuleFile]] = {}
    every: dict[int, int] = {}
    for item in items:
        record = item.record
        if not isinstance(record, CapsuleRecord) or record.attempt != attempt:
            continue
        every[record.rank] = record.every
        if record.path is None or record.digest is None:
            continue
        file = CapsuleFile(rank=record.rank, path=record.path, digest=record.digest, size=record.size)
        found.setdefault(record.step, {})[record.rank] = file
    return tuple(
        _restart(step, tuple(files[rank] for rank in sorted(files)))
        for step, files in sorted(found.items())
        if set(files) == set(ranks) and all((step + 1) % every[rank] == 0 for rank in files)
    )


def _restart(step: int, files: tuple[CapsuleFile, ...]) -> Restart:
    first = files[0]
    return Restart(step=step, path=first.path, digest=first.digest, size=first.size, capsules=files)


class _Made:
    """The updates of one rank, as they come."""

    def __init__(self) -> None:
        self.updates: list[tuple[int, object, object, bool, str]] = []
        self.generators: dict[str, str] = {}
        self.is_whole = False
        self._connection: int | None = None
        self._counts: dict[int, int] = {}

    def take(self, connection: int, frame: UpdateFrame, step: int) -> bool:
        """Whether it follows what was taken before."""
        self._connection = connection if self._connection is None else self._connection
        count = self._counts.get(frame.optimizer, 0)
        if connection != self._connection or frame.update != count or len(self.updates) >= MAX_MADE:
            return False
        self._counts[frame.optimizer] = count + 1
        norm = None if frame.gradient_norm is None else frame.gradient_norm.value
        self.updates.append((frame.optimizer, frame.loss, norm, frame.skipped, _of_generators(frame.rng)))
        self.generators = frame.rng
        self.is_whole = frame.optimizer == 0 and frame.update == step
        return True


def saves_steps(stretches: Sequence[Stretch]) -> bool:
    """Whether these, each reached with models executed, take less than one replay from the start to their end."""
    skipped, made = sum(each.first for each in stretches), sum(each.steps for each in stretches)
    return skipped * _EXECUTED + made < max((each.behind for each in stretches), default=0)


def made_until(
    items: Iterable[Item], attempt: int, step: int, ranks: Collection[int], *, forward: bool = False
) -> dict[int, str] | None:
    """The order for the recorder of each rank: its updates until that Step; `None` where the record lacks some.

    With `forward` models are executed on the way: what is drawn between them comes as it came in the run. Raises what
    reading the items raises.
    """
    made = {rank: _Made() for rank in ranks}
    for item in items:
        record = item.record
        if not isinstance(record, BlockRecord) or record.attempt != attempt or record.rank not in made:
            continue
        one = made[record.rank]
        for frame in (line.frame for line in item.lines):
            if one.is_whole:
                break
            if isinstance(frame, UpdateFrame) and not one.take(record.connection, frame, step):
                return None
        if all(each.is_whole for each in made.values()):
            return {rank: _order(each, forward=forward) for rank, each in made.items()}
    return None


def _order(one: _Made, *, forward: bool) -> str:
    order = {"version": _VERSION, "forward": forward, "made": one.updates, "generators": one.generators}
    return msgspec.json.encode(order).decode()


def _of_generators(rng: Mapping[str, str]) -> str:
    """Those of the whole process, short, since every update has them."""
    return ",".join(rng.get(name, "")[:_SHORT] for name in _WHOLE)
