"""Did an evaluation get as many batches as those before it: passes over a DataLoader that no backward followed.

A pass is one iteration of a loader between two Updates, of which more batches came than backward was called. It is held
against the passes of the same loader before it, once three of these ran out and were equal. That one gives less is told
as `info`: evaluations are limited, stopped early and given other data on purpose. Only a pass that ran out with another
number of batches than the same sampler, length and batch size gave before is a `warning`: nothing that the record holds
explains it.

Known weaknesses: a loader that is made anew for each evaluation has nothing to be held against, nor have those of
iterable datasets; data that comes from no DataLoader is not seen.
"""

from __future__ import annotations

from functools import partial
from typing import Final, NamedTuple

from saksi.judgement.checks.fold import Noted, observation
from saksi.judgement.checks.followed import Followed
from saksi.judgement.checks.spoken import Spoken
from saksi.judgement.items import Item
from saksi.words.findings import Finding
from saksi.words.frames import EpochFrame, ExhaustedFrame, UpdateFrame

__all__ = ["CHECK_NAME", "EVALUATIONS", "EvaluationCheck"]

CHECK_NAME: Final = "evaluation"
DIFFERS: Final = "metrics.evaluation_items_differ"
EQUAL: Final = 3
"""Passes that ran out and were equal, before one that differs is told."""
ENDLESS: Final = "torch.utils.data.dataloader._InfiniteConstantSampler"
"""What loaders of iterable datasets have: it is asked for more than is handed out."""
MAX_LOADERS: Final = 64
"""Of one process."""
MAX_ALL: Final = 65_536
_CAUSES: Final = "An evaluation that is limited or stopped early, and other data, look the same."
_finding = partial(observation, check=CHECK_NAME, code=DIFFERS)


class _Given(NamedTuple):
    """What the number of batches follows from; a length is known of torch's own samplers."""

    sampler: str
    length: int | None
    batch_size: int | None
    drop_last: bool
    samples: int | None


class _Pass:
    """One iteration of a loader behind Update `step`. `batches`: how many, once it ran out; `handed`: heard of."""

    __slots__ = ("batches", "epoch", "given", "handed", "is_evaluation", "step")

    def __init__(self, frame: EpochFrame, step: int) -> None:
        self.step = step
        samples = frame.arguments.get("num_samples")
        self.epoch = frame.epoch
        self.given = _Given(frame.sampler, frame.length, frame.batch_size, frame.drop_last, samples)
        self.batches: int | None = None
        self.handed = 0
        self.is_evaluation = False


class _Loader:
    """The passes of one loader: the one under way, and what the evaluations before it were like."""

    __slots__ = ("current", "equal", "finding", "is_spread", "usual")

    def __init__(self) -> None:
        self.current: _Pass | None = None
        self.is_spread = False  # it gives batches over several Updates: it trains
        self.usual: _Pass | None = None
        self.equal = 0
        self.finding: Finding | None = None

    def close(self, *, ends: bool = False) -> _Pass | None:
        """The pass under way is over. It, if it is an evaluation that is not as those before it."""
        ended, self.current = self.current, None
        if ended is None or self.is_spread:
            return None
        # Behind the last Update nothing tells whether backward was called: what was an evaluation before is one.
        if not ended.is_evaluation and not (ends and self.usual is not None and ended.batches is not None):
            return None
        if self.usual is None:
            self.usual, self.equal = ended, int(ended.batches is not None)
            return None
        if ended.batches is not None and (ended.batches, ended.given) == (self.usual.batches, self.usual.given):
            self.equal += 1
            return None
        return ended


class _Process:
    __slots__ = ("ended", "loaders", "rank", "size", "update")

    def __init__(self) -> None:
        self.size = 0
        self.rank = 0
        self.update = -1  # the last of optimizer 0
        self.loaders: dict[int, _Loader] = {}
        self.ended: list[int] = []  # loaders that ran out since the last Update


class _State:
    __slots__ = ("followed", "noted")

    def __init__(self) -> None:
        self.noted = Noted()
        what = "its evaluations are not looked at"
        self.followed = Followed(_Process, size=MAX_ALL, noted=self.noted, what=what, gone=self._gone)

    def _gone(self, process: _Process) -> None:
        for loader in process.loaders:
            _close(self, process, loader, (), ends=True)


class EvaluationCheck:
    """Every pass over a loader that no backward followed, against those before it."""

    name = CHECK_NAME

    def start(self) -> _State:
        """See `Check.start`."""
        return _State()

    def step(self, state: _State, item: Item) -> tuple[_State, tuple[Finding, ...]]:
        """See `Check.step`."""
        for said, process in state.followed.take(item, UpdateFrame | EpochFrame | ExhaustedFrame):
            _take(state, process, said)
        return state, state.noted.news()

    def finish(self, state: _State, *, ended: bool) -> tuple[Finding, ...]:
        """See `Check.finish`."""
        del ended  # what is told is final
        return state.noted.kept()


def _take(state: _State, process: _Process, said: Spoken) -> None:
    frame, process.rank = said.frame, said.rank
    if isinstance(frame, UpdateFrame):
        _updated(state, process, frame, said.entry)
    elif isinstance(frame, EpochFrame) and frame.sampler != ENDLESS:
        loader = process.loaders.get(frame.loader)
        if loader is None:
            if len(process.loaders) >= MAX_LOADERS or not state.followed.room:
                return
            loader = process.loaders[frame.loader] = _Loader()
            process.size += 1
        if loader.current is None or loader.current.epoch != frame.epoch:
            _close(state, process, frame.loader, (said.entry,))
            loader.current = _Pass(frame, max(0, process.update))
    elif isinstance(frame, ExhaustedFrame):
        loader = process.loaders.get(frame.loader)
        if loader is not None and loader.current is not None and loader.current.epoch == frame.epoch:
            loader.current.batches = frame.batches
            process.ended.append(frame.loader)


def _updated(state: _State, process: _Process, frame: UpdateFrame, entry: int) -> None:
    """What was handed out since the last Update is training, as far as backward was called."""
    heard: dict[int, int] = {}
    for batch in frame.batches:
        loader = process.loaders.get(batch.loader)
        if loader is not None and loader.current is not None and loader.current.epoch == batch.epoch:
            heard[batch.loader] = heard.get(batch.loader, 0) + 1
    for number, count in heard.items():
        loader = process.loaders[number]
        if loader.current is not None:
            loader.is_spread = loader.is_spread or loader.current.handed > 0
            loader.current.handed += count
            loader.current.is_evaluation = (loader.current.batches or count) > frame.losses
    for number in process.ended:
        loader = process.loaders[number]
        if loader.current is not None and loader.current.batches is not None:
            # More batches than a frame holds may have come: `exhausted` counts all of them.
            alone = loader.current.handed in {0, heard.get(number, 0)}
            loader.current.is_evaluation = alone and loader.current.batches > frame.losses
            _close(state, process, number, (entry,))
    process.ended.clear()
    if frame.optimizer == 0:
        process.update = frame.update


def _close(state: _State, process: _Process, number: int, entries: tuple[int, ...], *, ends: bool = False) -> None:
    loader = process.loaders[number]
    ended, usual = loader.close(ends=ends), loader.usual
    if ended is None or usual is None or loader.equal < EQUAL or loader.finding is not None:
        if ended is not None and loader.equal < EQUAL:  # they vary: nothing is usual
            loader.usual, loader.equal = ended, int(ended.batches is not None)
        return
    step = ended.step
    of = partial(_finding, subject=f"loader {number}", steps=(step, step), ranks=(process.rank,), evidence=entries[:1])
    before = f"after each of {loader.equal} passes before it ran out with {_many(usual)}"
    if ended.batches is None:
        message = f"A pass that no backward followed was broken off behind step {step}, {before}. {_CAUSES}"
        loader.finding = of(severity="info", message=message)
    elif ended.given != usual.given or ended.given.length is None:
        message = (
            f"A pass that no backward followed ran out behind step {step} with {_many(ended)}, {before}. {_CAUSES}"
        )
        loader.finding = of(severity="info", message=message)
    else:
        message = (
            f"A pass that no backward followed ran out behind step {step} with {_many(ended)}, {before}, from the same "
            "length, sampler and batch size. A sampler or loader that was patched does that, whatever it is for."
        )
        loader.finding = of(severity="warning", message=message)
    state.noted.note(loader.finding)


def _many(one: _Pass) -> str:
    batches = f"{one.batches:,} {'batch' if one.batches == 1 else 'batches'}"
    return batches if one.given.length is None else f"{batches} of a dataset of {one.given.length:,} samples"


EVALUATIONS: Final = EvaluationCheck()
