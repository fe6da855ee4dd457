"""The gradients of one Step as a record has them: scattered elements of what the optimizer read, tensor by tensor.

A replay that resumed before that Step has the same elements of the same tensors, if it drew with the same key and
counted its Updates from the same number.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Final, TypeAlias

import msgspec

from saksi.judgement.checks.sampled_process import SampledProcess
from saksi.judgement.checks.spoken import ProcessKey, Speakers, Spoken
from saksi.judgement.items import Item
from saksi.judgement.updates.rules import rule_of
from saksi.judgement.updates.samples import Layout, around_each
from saksi.words.errors import MalformedInput
from saksi.words.frame import Number
from saksi.words.frames import SampledFrame, SampleFrame, UpdateFrame

__all__ = ["StepGradients", "Where", "gradients_at"]

Where: TypeAlias = tuple[str, int, int]

_ROOM: Final = 1 << 16
"""In lines of layouts, of one process; more tensors give no samples in one Update."""


class StepGradients(msgspec.Struct, frozen=True, kw_only=True):
    """One Step of one rank. `tensors` are gradients by where they are: layout, group and place in it.

    `names` are those of the tensors, which several may share: names are of one module. `dtypes` are their formats.
    `key` is what their places were drawn with, in hexadecimal. `lacking` is why the update that the Step made cannot be
    worked out from what is in the record; `None` if it can.
    """

    loss: Number | None
    norm: Number | None
    max_norm: Number | None
    tensors: dict[Where, tuple[float, ...]]
    names: dict[Where, str]
    dtypes: frozenset[str]
    key: str
    lacking: str | None

    @property
    def elements(self) -> int:
        """How many elements of gradients there are."""
        return sum(len(values) for values in self.tensors.values())

    @property
    def size(self) -> float:
        """Of all of them together."""
        return math.hypot(*(value for values in self.tensors.values() for value in values))


class _Read:
    """One process: its samples, and as which rank it made the Step, if it did."""

    def __init__(self) -> None:
        self.samples = SampledProcess()
        self.others = False  # optimizers but the first
        self.rank: int | None = None


def gradients_at(items: Iterable[Item], attempt: int, step: int) -> dict[int, StepGradients]:
    """Those of each rank that made the Step in its first training. Raises what reading the items raises."""
    found: dict[int, StepGradients] = {}
    speakers = Speakers()
    read: dict[ProcessKey, _Read] = {}
    trained: dict[int, ProcessKey] = {}  # which process of a rank made its first Step
    for item in items:
        for said in speakers.take(item):
            if said.process.attempt != attempt:
                continue
            one = read.setdefault(said.process, _Read())
            if isinstance(said.frame, UpdateFrame) and trained.setdefault(said.rank, said.process) != said.process:
                continue
            match said.frame:
                case SampledFrame():
                    one.samples.arrange(said.frame, _ROOM)
                case SampleFrame():
                    one.samples.hold(said.frame, _ROOM)
                case UpdateFrame(optimizer=0, update=number) if number == step and said.rank not in found:
                    found[said.rank], one.rank = _of(one, said, said.frame), said.rank
                case UpdateFrame():
                    one.others |= said.frame.optimizer != 0
                    one.samples.of(said.frame)
                case _:
                    pass
    for one in read.values():
        if one.others and one.rank is not None:  # whose first update may come behind this Step
            lacking = "the program has several optimizers"
            found[one.rank] = msgspec.structs.replace(found[one.rank], lacking=lacking)
    return found


def _of(read: _Read, said: Spoken, update: UpdateFrame) -> StepGradients:
    tensors: dict[Where, tuple[float, ...]] = {}
    dtypes: set[str] = set()
    names: dict[Where, str] = {}
    lacking = _unsampled(read, update)
    for each in read.samples.of(update):
        layout = read.samples.layouts.get(each.layout)
        lacking = lacking or _not_recomputed(layout)
        if layout is None:
            continue
        dtypes.add(layout.dtype)
        try:
            for one in around_each(layout, each):
                if not one.idle:
                    where = each.layout, one.tensor.group, one.tensor.index
                    tensors[where], names[where] = tuple(one.around.gradient), one.name
        except MalformedInput as error:
            lacking = lacking or f"samples do not fit their layout: {error.reason}"
    key = said.hello.fingerprint_key if read.samples.key is None else read.samples.key.hex()
    norm = update.gradient_norm
    return StepGradients(
        loss=update.loss,
        norm=None if norm is None else norm.value,
        max_norm=None if norm is None else norm.max_norm,
        tensors=tensors,
        names=names,
        dtypes=frozenset(dtypes),
        key=key,
        lacking=lacking if tensors or lacking else "no tensor has a gradient that is read",
    )


def _unsampled(read: _Read, update: UpdateFrame) -> str | None:
    if update.skipped:
        return "the update was left out"
    if update.deferred:
        return "a device did not deliver all of it"
    if not any(each.update == update.update for each in read.samples.held):
        return "the record has no samples of it"
    return None


def _not_recomputed(layout: Layout | None) -> str | None:
    if layout is None:
        return "the layout of its samples was not heard"
    if rule_of(layout.rule, layout.dtype) is None:
        return f"there is no rule for {layout.rule} with {layout.dtype}"
    left = next(iter(layout.left_out), None)
    return None if left is None else f"{left} give no samples"
