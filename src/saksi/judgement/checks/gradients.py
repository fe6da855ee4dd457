"""Is the gradient that an optimizer read the one that the backward finished.

Samples hold both, at the same elements (Samples in `spec/frames.md`). One positive number for all of them is clipping
or unscaling; the clipping that was recorded says which number it should be. What a program does at every Update from
the first on, it does for a purpose, and is told as `info`.

Known weakness: what happens inside of a backward (hooks of tensors, an exchange between ranks) is done before it ends,
and gradients that are wrong as they are computed are finished wrong: a replay sees those. Elements that were not drawn.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial
from typing import Final

from saksi.judgement.checks.fold import Noted, joined, observation
from saksi.judgement.checks.followed import Followed
from saksi.judgement.checks.habits import Habit
from saksi.judgement.checks.sampled_process import MAX_OPTIMIZERS, SampledProcess
from saksi.judgement.checks.spoken import Spoken
from saksi.judgement.items import Item
from saksi.judgement.updates.gradients import EPSILON, Became, Pair, became
from saksi.judgement.updates.samples import gradients_in
from saksi.words.errors import MalformedInput
from saksi.words.findings import Finding, Severity
from saksi.words.frames import SampledFrame, SampleFrame, UpdateFrame

__all__ = ["GRADIENTS", "GradientCheck"]

CHECK_NAME: Final = "gradients"
CHANGED: Final = "gradient.changed_after_backward"
UNEVEN: Final = "gradient.scaled_unevenly"
CLIPPED: Final = "gradient.clipping_differs"
MAX_LINES: Final = 1 << 20
"""Of the layouts of all processes, as the shadow update keeps them."""
MAX_NAMED: Final = 4
NEAR: Final = 1e-3
"""How near to a power of two the rest of a factor lies that a gradient scaler explains."""
OWN: Final = (
    "Gradients that a program computes, exchanges or projects by hand, and noise that it adds, look the same; so does "
    "a hook between the backward and the step."
)
PARTS: Final = (
    "Clipping of each layer or row, and freezing a layer by zeroing its gradient, do that; what is made smaller learns "
    "less than it seems to."
)
LATE: Final = (
    "A clipping that is called behind the step or before the backward, or on other parameters, looks the same; so does "
    "one whose code was changed."
)
ENOUGH: Final = 8
"""Updates that were clipped as measured, after which one that is not is no habit."""
_finding = partial(observation, check=CHECK_NAME)


class _Process(SampledProcess):
    __slots__ = ("clippings", "habits", "uneven")

    def __init__(self) -> None:
        super().__init__()
        self.habits: dict[int, Habit] = {}  # by optimizer
        self.clippings: dict[int, int] = {}  # updates of each that were clipped as measured
        self.uneven: dict[int, Finding] = {}

    def tell_uneven(self, noted: Noted, optimizer: int, finding: Finding) -> None:
        """Keep the first one of an optimizer, stretched over those that follow."""
        known = self.uneven.get(optimizer)
        if known is None:
            noted.announce(finding)
        self.uneven[optimizer] = finding if known is None else joined(known, finding)

    def findings(self) -> Iterator[Finding]:
        """What is to be told of it."""
        for habit in self.habits.values():
            found = habit.weighed()
            if found is not None:
                yield found
        yield from self.uneven.values()


class _State:
    __slots__ = ("followed", "noted")

    def __init__(self) -> None:
        self.noted = Noted()
        self.followed = Followed(
            _Process, size=MAX_LINES, noted=self.noted, gone=self._gone,
            what="gradients are not followed from the backward to the step",
        )  # fmt: skip

    def _gone(self, process: _Process) -> None:
        for each in process.findings():
            self.noted.keep(each)


class GradientCheck:
    """Every Update whose samples say what the backward left."""

    name = CHECK_NAME

    def start(self) -> _State:
        """See `Check.start`."""
        return _State()

    def step(self, state: _State, item: Item) -> tuple[_State, tuple[Finding, ...]]:
        """See `Check.step`."""
        for said, process in state.followed.take(item, SampledFrame | SampleFrame | UpdateFrame):
            frame = said.frame
            if isinstance(frame, SampledFrame):
                process.arrange(frame, state.followed.room)
            elif isinstance(frame, SampleFrame):
                process.hold(frame)
            elif isinstance(frame, UpdateFrame):
                _judge(state, process, frame, said)
        return state, state.noted.news()

    def finish(self, state: _State, *, ended: bool) -> tuple[Finding, ...]:
        """See `Check.finish`."""
        del ended
        return (*state.noted.kept(), *(each for process in state.followed.kept() for each in process.findings()))


def _judge(state: _State, process: _Process, frame: UpdateFrame, said: Spoken) -> None:
    samples = process.of(frame)
    if frame.skipped or frame.optimizer >= MAX_OPTIMIZERS:
        return
    pairs, dtypes = _pairs(process, samples)
    if not pairs:
        return
    found = became(pairs, max(dtypes, key=EPSILON.__getitem__))
    step = frame.update if frame.optimizer == 0 else None
    of = partial(_finding, steps=(step, step), ranks=(said.rank,), evidence=(said.entry,))
    name = f"gradients of optimizer {frame.optimizer}"
    changed = process.habits.setdefault(frame.optimizer, Habit())
    changed.asked += 1
    if found.kind in {"changed", "reversed"}:
        changed.was_so(of(code=CHANGED, subject=name, message=_message(found)))
    changed.tell(state.noted)
    if found.kind == "uneven":
        message = (
            f"Parts of them were made smaller or larger between the backward and the step, {_where(found)}. {PARTS}"
        )
        state.noted.note(of(code=UNEVEN, severity="info", subject=name, message=message))
    clipped = _clipped(process, frame, found)
    if clipped is not None:
        message = f"They were multiplied by another number than the clipping that was measured gives. {LATE}"
        state.noted.note(of(code=CLIPPED, severity=clipped, subject=name, message=message))


def _clipped(process: _Process, frame: UpdateFrame, found: Became) -> Severity | None:
    """How grave it is that a clipping is not what became of the gradients; `None` if it is, or cannot be said."""
    norm = frame.gradient_norm
    if norm is None or "gradient_norm" in frame.deferred or found.kind not in {"same", "scaled"}:
        return None
    coefficient = norm.coefficient
    if isinstance(coefficient, str) or not coefficient > 0:
        return None
    held = process.clippings.get(frame.optimizer, 0)
    if _explains(coefficient, 1.0 if found.factor is None else found.factor):
        process.clippings[frame.optimizer] = held + (coefficient < 1)
        return None
    return "warning" if held >= ENOUGH and len(process.clippings) == 1 else "info"


def _explains(coefficient: float, factor: float) -> bool:
    """Whether a factor is that of the clipping, times a power of two as gradient scalers have."""
    left = math.log2(factor / coefficient)
    return abs(left - round(left)) <= NEAR


def _pairs(process: _Process, samples: list[SampleFrame]) -> tuple[list[Pair], set[str]]:
    """The gradients of an Update, where all of its samples say what the backward left; else none."""
    pairs: list[Pair] = []
    dtypes: set[str] = set()
    for each in samples:
        layout = process.layouts.get(each.layout)
        if layout is None or layout.dtype not in EPSILON or each.finished is None:
            return [], set()
        try:
            pairs += gradients_in(layout, each)
        except MalformedInput:
            return [], set()  # the shadow update tells of it
        dtypes.add(layout.dtype)
    return pairs, dtypes


def _message(found: Became) -> str:
    what = "were turned around" if found.kind == "reversed" else "became others"
    return f"Between the backward and the step they {what}, {_where(found)}. {OWN}"


def _where(found: Became) -> str:
    more = len(found.names) - MAX_NAMED
    names = ", ".join(found.names[:MAX_NAMED]) + (f" and {more} more" if more > 0 else "")
    return f"in {found.bad} of {found.of} sampled elements of {names}"


GRADIENTS: Final = GradientCheck()
