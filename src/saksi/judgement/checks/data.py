"""Did the data come as its samplers make it: each sample once, in the order that follows from the seed, unchanged.

The recorder says what a sampler is given and which ids it chose; the order is worked out here, from the state that the
generator had before the sampler drew. Samplers that may hand out anything are not judged, which is told.

Known weakness: ids are those that the sampler chose, and a dataset that gives other samples for them is seen only where
a batch, or enough single samples, had stood still before; whether a sample of one loader is one of another's as well,
of a held-out set say, is not judged: a dataset is known by its class and length alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from saksi.judgement.checks.data_content import Content
from saksi.judgement.checks.data_epoch import Apart, Epoch, Unjudged, epoch_of, sampler_name, why_not_judged
from saksi.judgement.checks.data_resumed import Opening, Openings, is_shuffled
from saksi.judgement.checks.data_source import Sources
from saksi.judgement.checks.data_told import (
    CHECK_NAME,
    another_source,
    begun_again,
    changed_content,
    changed_samples,
    not_judged,
    set_apart,
    set_apart_in_words,
)
from saksi.judgement.checks.declared import Declarations, HeldToApproved
from saksi.judgement.checks.fold import Noted
from saksi.judgement.checks.followed import Followed
from saksi.judgement.checks.spoken import Spoken
from saksi.judgement.items import Item
from saksi.judgement.ordering.orders import Orders
from saksi.judgement.plan.contents import Contents
from saksi.words.findings import Finding, Severity
from saksi.words.frames import Batch, CkptFrame, EpochFrame, ExhaustedFrame, UpdateFrame

__all__ = ["DATA", "DataCheck"]

MAX_LOADERS: Final = 1_024
"""Of one process; the one that was begun longest ago goes first."""
LOADER: Final = 64
"""What a loader itself counts for, in samples."""
MAX_EPOCHS: Final = 2
"""Of one loader: two of its iterators may take turns."""
MAX_ALL: Final = 1 << 25
"""Samples of all epochs of all processes, five bytes each; what is begun beyond is not judged."""
WORK: Final = 1 << 23
WORK_FOR_EACH: Final = 64
"""Steps of work on orders that a run has to its credit, and more for each sample it says: a claim that comes far into
a large epoch costs little to make and much to judge. Ranks share the work, so 64 hosts of one epoch have enough."""
SAMPLES_FOR_ONE: Final = 16
"""Samples that room is made for, for one step of work."""
_HEARD: Final = EpochFrame | ExhaustedFrame | UpdateFrame | CkptFrame
UNSAID: Final = Unjudged("the record does not say how the epoch began", owed=True)
UNORDERED: Final = Unjudged("its workers hand batches out as they are ready (`in_order=False`)", owed=False)
MANY: Final = Unjudged(f"more than {MAX_EPOCHS} of its epochs are under way at a time", owed=False)
NO_IDS: Final = Unjudged("the ids of its batches are not in the record, as of batches of more than 256", owed=False)
UNNAMED: Final = Unjudged("its batches have ids that are none of its sampler's: those are whole numbers", owed=True)
NO_ROOM: Final = Unjudged(f"more than {MAX_ALL:,} samples are under way, of all epochs of all processes", owed=True)
NO_CREDIT: Final = Unjudged("too few of its batches are in the record", owed=True)


class _Loader:
    __slots__ = ("begun", "content", "epochs", "last_step", "name", "openings", "samples", "size", "told", "varies")

    def __init__(self, name: str) -> None:
        self.name = name
        self.begun = -1  # the latest epoch
        self.size = 0
        self.content = Content()
        self.samples = Contents()
        self.varies = False  # samples came with other values before enough of them had stood still
        self.epochs: dict[int, Epoch | None] = {}  # `None`: not judged, or over
        self.openings: dict[int, Opening] = {}
        self.last_step: int | None = None
        self.told: dict[tuple[str, bool], str] = {}  # what was said first: what comes later is the same cause


class _Process:
    __slots__ = ("before", "goes_on_from", "loaders", "size", "sources", "updates")

    def __init__(self) -> None:
        self.loaders: dict[int, _Loader] = {}
        self.goes_on_from: int | None = None
        self.sources = Sources()
        self.updates = 0
        self.size = 0  # in samples, and batches that are remembered
        self.before = 0  # its size as it began to speak

    def loader(self, number: int, sampler: str) -> _Loader:
        """The loader of this number, new or not."""
        loader = self.loaders.pop(number, None) or _Loader(f"loader {number}: {sampler}")
        self.loaders[number] = loader
        if len(self.loaders) > MAX_LOADERS:
            self.size -= self.loaders.pop(next(iter(self.loaders))).size
        return loader

    def weigh(self, loader: _Loader) -> None:
        """Work the size of a loader out anew."""
        size = LOADER + loader.content.size + loader.samples.size
        size += sum(each.size for each in loader.epochs.values() if each is not None)
        self.size += size - loader.size
        loader.size = size


class _State:
    __slots__ = ("credit", "declarations", "followed", "noted", "openings", "orders", "unjudged", "weight")

    def __init__(self, weight: Callable[[int], Severity]) -> None:
        self.weight = weight  # of what an attempt is held to
        self.credit = WORK
        self.declarations = Declarations()
        self.noted = Noted()
        self.unjudged = Noted()  # apart, so that what does not apply takes no room from what was not judged
        self.orders = Orders()
        self.openings = Openings()
        self.followed = Followed(
            _Process, size=MAX_ALL, noted=self.unjudged, what="data is not judged", gone=self._gone
        )

    def _gone(self, process: _Process) -> None:
        for finding in _unsettled(process):
            self.noted.note(finding)


class _Turn(NamedTuple):
    """One batch of a loader, and who said it."""

    state: _State
    process: _Process
    loader: _Loader
    said: Spoken
    step: int | None


class DataCheck(HeldToApproved):
    """Every batch whose ids are known, against what its sampler makes and what came before.

    That an epoch is begun again weighs where an approver signed that each of its samples comes once.
    """

    name = CHECK_NAME

    def start(self) -> _State:
        """See `Check.start`."""
        return _State(self.weight)

    def step(self, state: _State, item: Item) -> tuple[_State, tuple[Finding, ...]]:
        """See `Check.step`."""
        state.declarations.take(item)
        for said, process in state.followed.take(item, _HEARD):
            process.before = process.size
            match said.frame:
                case EpochFrame():
                    process.sources.begin(said.frame)
                    _begin(state, process, said, said.frame)
                case ExhaustedFrame():
                    _exhaust(state, process, said, said.frame)
                case CkptFrame():
                    _ckpt(state, process, said, said.frame)
                case UpdateFrame():
                    _update(state, process, said, said.frame)
        return state, (*state.noted.news(), *state.unjudged.news())

    def finish(self, state: _State, *, ended: bool) -> tuple[Finding, ...]:
        """See `Check.finish`."""
        unsettled = [found for each in state.followed.kept() for found in _unsettled(each)] if ended else []
        return (*state.noted.kept(), *state.unjudged.kept(), *unsettled)


def _begin(state: _State, process: _Process, said: Spoken, frame: EpochFrame) -> None:
    if frame.loader not in process.loaders and _room(state, process) < LOADER:
        state.unjudged.note(not_judged(f"loader {frame.loader}: {sampler_name(frame)}", NO_ROOM, said))
        return
    loader = process.loader(frame.loader, sampler_name(frame))
    if frame.epoch <= loader.begun:
        return  # said again on another connection
    _ended(state, said, loader, loader.begun)
    loader.begun = frame.epoch
    why, epoch = why_not_judged(frame), None
    if why is None:
        epoch, why = epoch_of(frame, state.orders)
        if epoch.size > _room(state, process):
            epoch, why = None, NO_ROOM
    loader.epochs[frame.epoch] = epoch
    loader.openings[frame.epoch] = Opening(is_over=not is_shuffled(frame))
    while len(loader.epochs) > MAX_EPOCHS:
        del loader.epochs[next(iter(loader.epochs))], loader.openings[next(iter(loader.openings))]
    process.weigh(loader)
    if why is not None:
        state.unjudged.note(not_judged(loader.name, why, said))


def _exhaust(state: _State, process: _Process, said: Spoken, frame: ExhaustedFrame) -> None:
    loader = process.loaders.get(frame.loader)
    epoch = None if loader is None else loader.epochs.get(frame.epoch)
    if loader is not None:
        _ended(state, said, loader, frame.epoch)
    if loader is not None and epoch is not None:
        epoch.exhausted = frame.batches
        turn = _Turn(state, process, loader, said, loader.last_step)
        for apart in epoch.whole():
            _note(turn, apart)
        _let_go(loader, frame.epoch)
        process.weigh(loader)


def _ended(state: _State, said: Spoken, loader: _Loader, number: int) -> None:
    """An epoch has come to its end, or was broken off."""
    opening = loader.openings.get(number)
    if opening is not None:
        state.openings.end(said.process.attempt, said.rank, opening, loader.last_step)


def _ckpt(state: _State, process: _Process, said: Spoken, frame: CkptFrame) -> None:
    attempt = said.process.attempt
    if frame.action == "saved":
        state.openings.save(attempt, frame)
    elif frame.action == "loaded" and attempt and not process.updates:
        saved = state.openings.saved(attempt, frame)
        process.goes_on_from = process.goes_on_from if saved is None else saved


def _update(state: _State, process: _Process, said: Spoken, frame: UpdateFrame) -> None:
    process.updates += 1
    step = frame.update if frame.optimizer == 0 else None
    another = process.sources.take(frame)
    if another is not None:
        state.noted.note(another_source(another, said, step))
    for batch in frame.batches:
        loader = process.loaders.get(batch.loader)
        if loader is None and batch.epoch is None:
            continue  # of an older recorder
        if loader is None:
            state.unjudged.note(not_judged(f"loader {batch.loader}", UNSAID, said))
        elif batch.epoch in loader.epochs:
            _batch(_Turn(state, process, loader, said, step), batch, batch.epoch)
        else:
            why = UNORDERED if batch.epoch is None else UNSAID if batch.epoch > loader.begun else MANY
            state.unjudged.note(not_judged(loader.name, why, said))


def _batch(turn: _Turn, batch: Batch, number: int) -> None:
    loader, epoch = turn.loader, turn.loader.epochs[number]
    loader.last_step = turn.step
    if epoch is not None and batch.ids is None:
        why = NO_IDS if epoch.may_go_unnamed else UNNAMED
        turn.state.unjudged.note(not_judged(loader.name, why, turn.said))
        loader.epochs[number] = None
    elif epoch is not None and epoch.grows(batch) > _room(turn.state, turn.process):
        turn.state.unjudged.note(not_judged(loader.name, NO_ROOM, turn.said))
        loader.epochs[number] = None
    elif epoch is not None:
        if _pay(turn, epoch, batch):
            for apart in epoch.take(batch):
                _note(turn, apart)
            _let_go(loader, number)
        else:
            loader.epochs[number] = None
    _opening(turn, batch, loader.openings[number])
    changed = loader.content.take(batch, turn.said.rank, turn.step, turn.said.entry, _room(turn.state, turn.process))
    if changed is not None:
        turn.state.noted.note(changed_content(loader.name, changed))
    _samples(turn, batch)
    turn.process.weigh(loader)


def _samples(turn: _Turn, batch: Batch) -> None:
    """Single samples that come with other values than before, in a loader whose samples had stood still."""
    loader = turn.loader
    if loader.varies or not batch.rows:
        return
    stood_still = loader.samples.stands_still
    if not loader.samples.take(batch, _room(turn.state, turn.process)):
        return
    if stood_still:
        turn.state.noted.note(changed_samples(loader.name, turn.said, turn.step))
    else:
        loader.varies, loader.samples = True, Contents()


def _pay(turn: _Turn, epoch: Epoch, batch: Batch) -> bool:
    """Take what comparing a batch costs off the credit; whether that covers it."""
    work, state = epoch.reach(batch) + epoch.grows(batch) // SAMPLES_FOR_ONE, turn.state
    state.credit = min(WORK, state.credit + WORK_FOR_EACH * len(batch.ids or ()))
    if work > state.credit:
        state.unjudged.note(not_judged(turn.loader.name, NO_CREDIT, turn.said))
        return False
    state.credit -= work
    return True


def _room(state: _State, process: _Process) -> int:
    """How much more may be kept: of who speaks it is counted only behind a frame."""
    return state.followed.room - (process.size - process.before)


def _opening(turn: _Turn, batch: Batch, opening: Opening) -> None:
    whole = opening.take(batch, turn.step, turn.process.updates)
    if whole is None or opening.first_step is None:
        return
    openings, process, said = turn.state.openings, turn.process, turn.said
    openings.keep(said.process.attempt, said.rank, whole, opening.first_step, said.entry)
    saved, process.goes_on_from = process.goes_on_from, None  # only the first epoch is gone on with
    again = None if saved is None else openings.again(said.process.attempt, said.rank, whole, saved)
    if again is not None:
        declared = turn.state.declarations.of(said.process.attempt)
        is_planned = declared is not None and declared.data is not None and declared.data.each == "once"
        is_held = is_planned and not again.was_over
        severity: Severity = turn.state.weight(said.process.attempt) if is_held else "info"
        turn.state.noted.note(begun_again(turn.loader.name, again, said, opening.first_step, severity))


def _note(turn: _Turn, apart: Apart) -> None:
    kind = apart.code, apart.torch_does
    words = turn.loader.told.setdefault(kind, set_apart_in_words(apart, turn.said.hello.torch))
    turn.state.noted.note(set_apart(apart, words, turn.loader.name, turn.said, turn.step))


def _let_go(loader: _Loader, number: int) -> None:
    epoch = loader.epochs[number]
    if epoch is not None and epoch.is_over:
        loader.epochs[number] = None


def _unsettled(process: _Process) -> list[Finding]:
    loaders = process.loaders.values()
    return [changed_content(each.name, each.content.pending) for each in loaders if each.content.pending is not None]


DATA: Final = DataCheck()
