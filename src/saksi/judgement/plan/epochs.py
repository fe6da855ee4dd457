"""One process's epochs of training data against what was declared of them: `[data]`.

Rules:

- It speaks of the loaders that train: those of which two Updates in a row had batches, and of no other. One that only
  evaluates gives its batches between two Updates, beside those of a loader that trains, or alone to a single one.
- Samplers of torch's own are held by what they were given, and the data check compares what came of them with that; of
  any other sampler the ids are counted. An epoch that was broken off lacks nothing, nor one of which a batch was not
  heard.
- Of batches that a program makes itself only those with more samples than planned are told: each worker has a last one.
- The first epoch of a process that goes on from a model checkpoint, or from an earlier attempt, may be the rest of one.

Known weakness: where several loaders give batches to each Update, none of them is judged.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from saksi.judgement.plan.begun import (
    BATCH,
    CONTENT,
    ITEMS,
    NOT_CHECKABLE,
    ORDER,
    REPEATS,
    Cause,
    Code,
    begun,
    is_counted,
    sampler_of,
)
from saksi.judgement.plan.contents import MAX_NAMED, Contents
from saksi.judgement.plan.data import DataPlan
from saksi.words.frames import Batch, EpochFrame, ExhaustedFrame, UpdateFrame

__all__ = ["Epochs", "OtherData"]

MAX_LOADERS: Final = 64
"""Of one process; the one that was begun longest ago goes first."""
MAX_EPOCHS: Final = 2
"""Of one loader: two of its iterators may take turns."""
MAX_COUNTED: Final = 1 << 20
"""Samples of one epoch whose sampler is not torch's."""
GOES_ON: Final = "It is the first epoch of a process that goes on from a model checkpoint, and may be the rest of one."


class OtherData(NamedTuple):
    """What is not as declared, from step `first` to `last`; `excused`: an honest cause was seen."""

    code: Code
    subject: str
    message: str
    first: int | None
    last: int | None
    excused: bool


class _Found(NamedTuple):
    cause: Cause
    first: int | None
    last: int | None


class _Epoch:
    __slots__ = ("counted", "first", "frame", "heard", "is_counted", "last", "pending")

    def __init__(self, frame: EpochFrame, *, is_counted: bool) -> None:
        self.frame = frame
        self.is_counted = is_counted
        self.counted: set[int] = set()
        self.heard = 0  # batches
        self.first: int | None = None  # steps
        self.last: int | None = None
        self.pending: dict[tuple[Code, str], _Found] = {}  # until its loader is known to train


class _Loader:
    __slots__ = ("begun", "changed", "contents", "epochs", "latest", "trains")

    def __init__(self) -> None:
        self.latest: EpochFrame | None = None
        self.contents = Contents()
        self.changed: tuple[int | None, int | None] | None = None  # steps with samples that are others, not told yet
        self.begun = -1  # the latest epoch
        self.epochs: dict[int, _Epoch] = {}
        self.trains = False


class Epochs:
    """The loaders of one process. `resumed`: it continues an earlier attempt. `size` is counted in samples."""

    __slots__ = ("_alone_before", "_began", "_is_alone", "_loaders", "_plan", "_resumed", "_told", "_updates", "size")

    def __init__(self, plan: DataPlan, *, resumed: bool, is_alone: bool) -> None:
        self._plan = plan
        self._resumed = resumed
        self._is_alone = is_alone
        self._loaders: dict[int, _Loader] = {}
        self._told: dict[tuple[Code, str, bool], tuple[str, str]] = {}  # the words of the first time
        self._updates = 0
        self._alone_before: int | None = None  # the loader of which alone the last Update with batches had some
        self._began: EpochFrame | None = None  # the first epoch that was trained on
        self.size = 1

    @property
    def is_seen(self) -> bool:
        """Whether a loader was seen to train."""
        return self._began is not None

    def load(self) -> None:
        """A model checkpoint was loaded."""
        self._resumed = self._resumed or not self._updates

    def begin(self, frame: EpochFrame) -> None:
        """An epoch begins; one that is said again on another connection is the same."""
        loader = self._loaders.pop(frame.loader, None) or _Loader()
        self._loaders[frame.loader] = loader
        if frame.epoch > loader.begun:
            loader.begun, loader.latest = frame.epoch, frame
            loader.epochs[frame.epoch] = _Epoch(frame, is_counted=is_counted(frame, self._plan))
        for over in list(loader.epochs)[:-MAX_EPOCHS]:
            self._let_go(loader, over)
        if len(self._loaders) > MAX_LOADERS:
            oldest = self._loaders.pop(next(iter(self._loaders)))
            self.size -= oldest.contents.size
            for each in list(oldest.epochs):
                self._let_go(oldest, each)

    def take(self, frame: UpdateFrame, room: int) -> Iterator[OtherData]:
        """Takes the batches of an Update in. `room`: so many more samples may be counted."""
        self._updates += 1
        if not frame.batches:
            return
        step = frame.update if frame.optimizer == 0 else None
        for batch in frame.batches:
            loader = self._loaders.get(batch.loader)
            epoch = None if loader is None or batch.epoch is None else loader.epochs.get(batch.epoch)
            if loader is not None and epoch is not None:
                for cause in self._batch(epoch, batch, step, room):
                    _keep(epoch, _Found(cause, step, step))
                if self._plan.content == "same":
                    self._contents(loader, epoch, batch, step, room)
        alone = {each.loader for each in frame.batches}
        now = alone.pop() if len(alone) == 1 and not frame.batches_omitted else None
        before, self._alone_before = self._alone_before, now
        if now is not None and now == before and now in self._loaders:
            self._loaders[now].trains = True
        for number in dict.fromkeys(each.loader for each in frame.batches):
            loader = self._loaders.get(number)
            if loader is not None and loader.trains:
                yield from self._told_of(loader)

    def exhaust(self, frame: ExhaustedFrame) -> Iterator[OtherData]:
        """A loader had no more to hand out."""
        loader = self._loaders.get(frame.loader)
        epoch = None if loader is None else loader.epochs.get(frame.epoch)
        if loader is None or epoch is None:
            return
        if epoch.is_counted and epoch.heard == frame.batches and self._is_alone:
            count = len(epoch.counted)
            if count < self._least(epoch.frame):
                what = (
                    f"the sampler had no more after {count:,} different samples, and {self._plan.items:,} are planned"
                )
                _keep(epoch, _Found(Cause(ITEMS, "missing", what), epoch.first, epoch.last))
        if loader.trains:
            yield from self._told_of(loader)
        self._let_go(loader, frame.epoch)

    def _told_of(self, loader: _Loader) -> Iterator[OtherData]:
        """What is to be told of the epochs of a loader that trains."""
        for epoch in loader.epochs.values():
            if epoch.heard:
                self._began = self._began or epoch.frame
                yield from (self._other(epoch.frame, each) for each in epoch.pending.values())
                epoch.pending.clear()

    def _least(self, frame: EpochFrame) -> int:
        """How many different samples an epoch hands out at least; none where samples may come again instead."""
        items = self._plan.items or 0
        if self._plan.each != "once":
            return 0
        return items - items % frame.batch_size if frame.drop_last and frame.batch_size else items

    def _batch(self, epoch: _Epoch, batch: Batch, step: int | None, room: int) -> Iterator[Cause]:
        epoch.last = step
        if not epoch.heard:
            epoch.first = step
            yield from begun(epoch.frame, self._plan, is_alone=self._is_alone)
        epoch.heard += 1
        yield from self._size(epoch, batch)
        if not epoch.is_counted:
            return
        if batch.ids is None:
            epoch.is_counted = False
            yield Cause(NOT_CHECKABLE, "ids", "the ids of its batches are not in the record, as of more than 256")
        elif len(batch.ids) > min(room, MAX_COUNTED - len(epoch.counted)):
            epoch.is_counted = False
            yield Cause(NOT_CHECKABLE, "room", "it has more samples than are counted")
        else:
            yield from self._count(epoch, batch, batch.ids)

    def _size(self, epoch: _Epoch, batch: Batch) -> Iterator[Cause]:
        """Of loaders whose batches are made by what is not torch's; of the others it is known how large they are."""
        planned, items = self._plan.batch, batch.items
        if planned is None or items is None or epoch.frame.batch_size is not None:
            return
        if items > planned:
            yield Cause(BATCH, "counted", f"a batch came of {items:,} samples, and {planned:,} are planned")

    def _count(self, epoch: _Epoch, batch: Batch, ids: list[int]) -> Iterator[Cause]:
        plan, again = self._plan, []
        for each in ids:
            if each in epoch.counted:
                again.append(each)
            else:
                epoch.counted.add(each)
                self.size += 1
        if plan.each == "once" and again:
            what = f"samples came that had been handed out before, {_named(again)}, and each is planned once"
            yield Cause(REPEATS, "counted", what)
        if plan.items is not None and len(epoch.counted) > plan.items:
            yield Cause(ITEMS, "counted", f"more different samples came than the {plan.items:,} that are planned")
        if plan.order == "sequential" and self._is_alone and batch.before is not None:
            places = enumerate(ids, start=batch.before)
            place, sample = next(((at, each) for at, each in places if at != each), (0, None))
            if sample is not None:
                yield Cause(ORDER, "counted", f"sample {sample} came at place {place}, and in turn is planned")

    def _contents(self, loader: _Loader, epoch: _Epoch, batch: Batch, step: int | None, room: int) -> None:
        contents, size = loader.contents, loader.contents.size
        if contents.take(batch, room):
            loader.changed = (step if loader.changed is None else loader.changed[0], step)
        self.size += contents.size - size
        if loader.changed is not None and contents.stands_still:
            named = _named([*contents.differed])
            what = f"samples came with other values than they had, {named}, while others had the same"
            _keep(epoch, _Found(Cause(CONTENT, "rows", what), *loader.changed))
            loader.changed = None

    def unsettled(self) -> Iterator[OtherData]:
        """What of the loaders that train could not be told: whether samples have the values that they had."""
        for loader in self._loaders.values():
            known = loader.contents
            lacks = known.has_ids and not known.has_rows
            if self._plan.content != "same" or not loader.trains or not (lacks or loader.changed is not None):
                continue
            why = (
                "its samples have no digests, one by one"
                if lacks
                else "too few of the samples that came again had the same values to say that others should have them"
            )
            if loader.latest is not None:
                yield self._other(loader.latest, _Found(Cause(NOT_CHECKABLE, "content", why), None, None))

    def _other(self, frame: EpochFrame, found: _Found) -> OtherData:
        cause, judged = found.cause, found.cause.code != NOT_CHECKABLE
        excused = judged and self._resumed and frame is self._began and cause.code != BATCH
        known = (cause.code, cause.which, excused)
        if known not in self._told:
            where = "It is not as planned" if judged else "Of the planned data not all is judged"
            message = f"{where}: in epoch {frame.epoch} {cause.what}."
            subject = f"loader {frame.loader}: {sampler_of(frame)}"
            self._told[known] = subject, f"{message} {GOES_ON}" if excused else message
        subject, message = self._told[known]
        steps = (found.first, found.last) if judged else (None, None)
        return OtherData(cause.code, subject, message, *steps, excused)

    def _let_go(self, loader: _Loader, number: int) -> None:
        epoch = loader.epochs.pop(number, None)
        self.size -= 0 if epoch is None else len(epoch.counted)


def _keep(epoch: _Epoch, found: _Found) -> None:
    """Keeps what was found of an epoch until it is told, stretched over the steps of what was found before."""
    key = found.cause.code, found.cause.which
    known = epoch.pending.get(key)
    epoch.pending[key] = found if known is None else known._replace(last=found.last)


def _named(samples: list[int]) -> str:
    more = len(samples) - MAX_NAMED
    return ", ".join(str(each) for each in samples[:MAX_NAMED]) + (f" and {more:,} more" if more > 0 else "")
