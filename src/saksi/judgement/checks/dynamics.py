"""How did training go: losses and gradient norms that leap, values that are no numbers, updates that stall.

Everything here has honest causes that no record excludes, so all of it is `info` and moves no verdict: it says where to
look. One finding for each cause of an attempt, over all ranks, from the first step to the last.

Known weaknesses: what leaps or slows by less than the named thresholds, or from the first updates on, is not told; nor
are a process's optimizers beyond the first `MAX_SERIES`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial
from typing import Final, NamedTuple

from saksi.judgement.checks.fold import MAX_EVIDENCE, Noted, observation
from saksi.judgement.checks.followed import Followed
from saksi.judgement.checks.slow_phases import PhasesOfRanks
from saksi.judgement.checks.spoken import Spoken
from saksi.judgement.dynamics.durations import BLOCK, IN_WORDS, Distances, Durations, Slow, spent_in
from saksi.judgement.dynamics.jumps import Window
from saksi.judgement.dynamics.left_out import LeftOut
from saksi.judgement.dynamics.phases import SlowPhases
from saksi.judgement.items import Item
from saksi.words.findings import Finding
from saksi.words.frames import CkptFrame, EpochFrame, Number, UpdateFrame

__all__ = ["CHECK_NAME", "DYNAMICS", "DynamicsCheck"]

CHECK_NAME: Final = "dynamics"
MAX_SERIES: Final = 8
"""Optimizers of one process that are followed: a GAN has two."""
MAX_ALL: Final = 4_096
"""Optimizers of all processes: each has windows of some kilobytes."""
MAX_CAUSES: Final = 1_024
MAX_RANKS: Final = 1_024
LOSS_TIMES: Final = 4.0
"""A scaler multiplies the loss that backward is called on, and doubles its scale as it grows."""
NORM_TIMES: Final = 30.0
"""Gradient norms have heavy tails: an honest one is now and then ten times its median."""
JUMPED_LOSS: Final = "dynamics.loss_jumped"
JUMPED_NORM: Final = "dynamics.gradient_norm_jumped"
LEFT_OUT: Final = "dynamics.updates_left_out"
NOT_FINITE: Final = "dynamics.not_finite"
SLOWED: Final = "dynamics.slowed"
STALLED: Final = "dynamics.stalled"
_CAUSES: Final = {
    JUMPED_LOSS: "A batch unlike the others, a learning rate that is too high and data of another kind look the same.",
    JUMPED_NORM: "A batch unlike the others and a learning rate that is too high look the same.",
    LEFT_OUT: "Gradients that are no numbers do that, and a scale that is set to grow at short intervals.",
    NOT_FINITE: "A learning rate that is too high, a number beyond half precision and a division by zero do that.",
    SLOWED: "Longer samples, other work on the machine and a hot processor look the same.",
    STALLED: "An evaluation, a model checkpoint, a slow disk and other work on the machine look the same.",
}
_NS: Final = 1e9
_finding = partial(observation, check=CHECK_NAME, severity="info")


class _Series:
    """One optimizer's Updates in one process."""

    __slots__ = ("durations", "left_out", "loss", "norm", "phases")

    def __init__(self) -> None:
        self.loss = Window(LOSS_TIMES)
        self.norm = Window(NORM_TIMES)
        self.durations = Durations()
        self.left_out = LeftOut()
        self.phases = SlowPhases()


class _Process:
    __slots__ = ("attempt", "entry", "is_odd", "rank", "series", "size")

    def __init__(self) -> None:
        self.size = 0
        self.attempt = self.rank = self.entry = 0  # of the last Update
        self.is_odd = False  # something that takes time was heard of since
        self.series: dict[int, _Series] = {}

    def of(self, optimizer: int, room: int) -> _Series | None:
        """An optimizer's series; `None` beyond what is followed."""
        found = self.series.get(optimizer)
        if found is None and self.size < MAX_SERIES and room > 0:
            found = self.series[optimizer] = _Series()
            self.size += 1
        return found


class _Seen(NamedTuple):
    """One occurrence: its code and subject, from which Update on, how bad it is and what is said of it."""

    code: str
    subject: str
    first: int
    badness: float
    message: str


class _Cause:
    """What happened, over all ranks of an attempt: how often, and in the words of where it was worst."""

    __slots__ = ("count", "distances", "entries", "first", "last", "ranks", "worst")

    def __init__(self, first: _Seen) -> None:
        self.count = 0
        self.first = self.last = first.first
        self.ranks: set[int] = set()
        self.entries: dict[int, None] = {}
        self.worst = first
        self.distances = Distances()

    def take(self, seen: _Seen, said: Spoken, update: int) -> None:
        """Takes one more occurrence in, which `update` ended."""
        self.count += 1
        self.first, self.last = min(self.first, seen.first), max(self.last, update)
        self.distances.take(update)
        if len(self.ranks) < MAX_RANKS:
            self.ranks.add(said.rank)
        if len(self.entries) < MAX_EVIDENCE:
            self.entries[said.entry] = None
        if seen.badness > self.worst.badness:
            self.worst = seen

    def finding(self, optimizer: int) -> Finding:
        """The finding that tells of it. Only optimizer 0 counts Steps."""
        times = f" It was so {self.count:,} times." if self.count > 1 else ""
        return _finding(
            code=self.worst.code,
            subject=self.worst.subject,
            message=f"{self.worst.message}{times} {_CAUSES[self.worst.code]}",
            steps=(None, None) if optimizer else (self.first, self.last),
            ranks=tuple(sorted(self.ranks)),
            evidence=tuple(self.entries),
        )


class _State:
    __slots__ = ("causes", "followed", "noted", "phases")

    def __init__(self) -> None:
        self.noted = Noted()
        self.phases = PhasesOfRanks()
        self.causes: dict[tuple[int, int, str, str], _Cause] = {}  # by attempt, optimizer, code and subject
        what = "how training went is not looked at"
        self.followed = Followed(_Process, size=MAX_ALL, noted=self.noted, what=what, gone=self._gone)

    def _gone(self, process: _Process) -> None:
        _take_phases(self.phases, process)


class DynamicsCheck:
    """Every Update against those before it in the same process."""

    name = CHECK_NAME

    def start(self) -> _State:
        """See `Check.start`."""
        return _State()

    def step(self, state: _State, item: Item) -> tuple[_State, tuple[Finding, ...]]:
        """See `Check.step`."""
        for said, process in state.followed.take(item, UpdateFrame | CkptFrame | EpochFrame):
            if not isinstance(said.frame, UpdateFrame):
                process.is_odd = True
            else:
                process.attempt, process.rank, process.entry = said.process.attempt, said.rank, said.entry
                series = process.of(said.frame.optimizer, state.followed.room)
                for seen in () if series is None else _seen(series, said.frame, is_odd=process.is_odd):
                    _take(state, seen, said, said.frame)
                process.is_odd = False
        return state, state.noted.news()

    def finish(self, state: _State, *, ended: bool) -> tuple[Finding, ...]:
        """See `Check.finish`."""
        del ended
        told = [
            cause.finding(optimizer)
            for (_, optimizer, code, _), cause in state.causes.items()
            if code != STALLED or not cause.distances.are_even
        ]
        slow = {(attempt, optimizer) for attempt, optimizer, code, _ in state.causes if code in {SLOWED, STALLED}}
        phases = state.phases.copy()
        for process in state.followed.kept():
            _take_phases(phases, process)
        return (*state.noted.kept(), *told, *phases.findings(slow))


def _take(state: _State, seen: _Seen, said: Spoken, frame: UpdateFrame) -> None:
    at = (said.process.attempt, frame.optimizer, seen.code, seen.subject)
    cause = state.causes.get(at)
    if cause is None:
        if len(state.causes) >= MAX_CAUSES:
            return
        cause = state.causes[at] = _Cause(seen)
    was_told = cause.count > 0 if seen.code != STALLED else cause.distances.are_told
    cause.take(seen, said, frame.update)
    # A stall may turn out to be one of those at even distances: it is no news before that is known.
    if not was_told and (seen.code != STALLED or cause.distances.are_told):
        state.noted.announce(cause.finding(frame.optimizer))


def _take_phases(phases: PhasesOfRanks, process: _Process) -> None:
    for optimizer, series in process.series.items():
        phases.take(process.attempt, optimizer, process.rank, process.entry, series.phases.found())


def _seen(series: _Series, frame: UpdateFrame, *, is_odd: bool) -> Iterator[_Seen]:
    """What there is to tell of one Update."""
    of = "" if frame.optimizer == 0 else f" of optimizer {frame.optimizer}"
    left_out = frame.skipped or "skipped" in frame.deferred  # an overflow is a scaler's business
    norm = frame.gradient_norm
    if not left_out:
        yield from _value(series.loss, frame.loss, f"loss{of}", JUMPED_LOSS, frame.update)
    if norm is not None and not left_out:
        yield from _value(series.norm, norm.value, f"gradient norm{of}", JUMPED_NORM, frame.update)
    odd = series.left_out.take(skipped=frame.skipped)
    if odd is not None:
        message = f"A gradient scaler left out {odd}, at update {frame.update} for the first time."
        yield _Seen(LEFT_OUT, f"updates{of}", frame.update, 0.0, message)
    phases = frame.phase_ns
    took = (phases.data, phases.compute, phases.optimizer)
    evaluated = frame.batches_omitted > 0 or len({batch.loader for batch in frame.batches}) > 1
    series.phases.take(frame.update, took, is_odd=is_odd or evaluated)
    stalled, slow = series.durations.take(took)
    if stalled:
        yield _stall(frame, of)
    if slow is not None:
        yield _slow(slow, frame.update, of)


def _value(window: Window, value: Number | None, what: str, code: str, update: int) -> Iterator[_Seen]:
    if value is None:
        return
    number = float(value)
    if not math.isfinite(number):
        yield _Seen(NOT_FINITE, what, update, 0.0, f"It is {value} at update {update}.")
        return
    usual = window.take(number)
    if usual is not None:
        message = f"It is {number:.4g} at update {update}, and the median of those just before is {usual:.4g}."
        yield _Seen(code, what, update, number - usual, message)


def _stall(frame: UpdateFrame, of: str) -> _Seen:
    phase, took = spent_in(frame.phase_ns)
    message = f"Update {frame.update} took {took / _NS:.1f} s, most of it in {IN_WORDS[phase]}."
    return _Seen(STALLED, f"duration{of}", frame.update, float(took), message)


def _slow(slow: Slow, update: int, of: str) -> _Seen:
    message = (
        f"The {BLOCK} updates up to {update} took {slow.took_ns / _NS:.3g} s each by their median, and those before "
        f"{slow.usual_ns / _NS:.3g} s; what grew most is {IN_WORDS[slow.phase]}."
    )
    return _Seen(SLOWED, f"duration{of}", max(0, update - BLOCK + 1), slow.took_ns / slow.usual_ns, message)


DYNAMICS: Final = DynamicsCheck()
