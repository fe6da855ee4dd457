"""Is the gradient that an optimizer read the one that the backward finished.

Samples hold both, at the same elements (Samples in `spec/frames.md`). One positive number for all of them is clipping
or unscaling; the clipping that was recorded says which number it should be. A program that does more than that within
its first Updates does so for a purpose, and is told as `info`.

A plan that an approver signed (`declared`) takes honest causes away: where it says at what norm gradients are clipped,
or which parameters are trained, what a program did not do in its first Updates is held against it.

Known weakness: what happens inside of a backward (hooks of tensors, an exchange between ranks) is done before it ends,
and gradients that are wrong as they are computed are finished wrong: a replay sees those. Elements that were not drawn.
A program that projects its gradients now and then looks like one that was changed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Final

from saksi.judgement.checks.declared import Declarations, Declared, HeldToApproved
from saksi.judgement.checks.fold import Noted, joined, observation
from saksi.judgement.checks.followed import Followed
from saksi.judgement.checks.sampled_process import MAX_OPTIMIZERS, SampledProcess
from saksi.judgement.checks.spoken import Spoken
from saksi.judgement.items import Item
from saksi.judgement.plan.trained import Names
from saksi.judgement.updates.gradients import EPSILON, ROUNDINGS, Became, Pair, became
from saksi.judgement.updates.samples import gradients_in
from saksi.words.errors import MalformedInput
from saksi.words.findings import Finding
from saksi.words.frames import SampledFrame, SampleFrame, UpdateFrame

__all__ = ["GRADIENTS", "GradientCheck"]

CHECK_NAME: Final = "gradients"
CHANGED: Final = "gradient.changed_after_backward"
UNEVEN: Final = "gradient.scaled_unevenly"
CLIPPED: Final = "gradient.clipping_differs"
ZEROED: Final = "gradient.zeroed"
NOT_FOLLOWED: Final = "gradient.not_followed"
"""Of this optimizer it never is: this check does not apply."""
NOT_CHECKABLE: Final = "gradient.not_checkable"
"""It was in the record, and is not any more."""
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
    "Gradients that are divided by a number of tokens, a norm that is measured again for a log, a clipping that comes "
    "behind the step or is of other parameters look the same; so does one whose code was changed."
)
OTHERWISE: Final = "They were multiplied by another number than the clipping that was measured last gives."
NOBODY: Final = "Optimizers that step inside of a backward, or in another thread than that of the backward, have none."
ANOTHER: Final = (
    "A hook of the optimizer that comes and goes, state that is added or let go, and gradients that come from elsewhere"
    " in some updates look the same."
)
ENOUGH: Final = 8
"""Updates from the first on of which nothing was to be told, after which a change is no habit of the program's."""
OF_AN_OPTIMIZER: Final = 8
"""What is kept of one, in lines of layouts."""
_finding = partial(observation, check=CHECK_NAME)


class _Optimizer:
    """One optimizer's gradients: how many Updates had nothing to tell, and what is to be told by code."""

    __slots__ = ("announced", "as_clipped", "is_known", "plain", "told")

    def __init__(self) -> None:
        self.as_clipped: int | None = 0  # likewise, those that became what the clipping that was measured makes of them
        self.is_known = False  # what the backward left was said of some Update
        self.plain: int | None = 0  # Updates from the first on; `None`: not any more, and too early to be no habit
        self.announced = False
        self.told: dict[str, Finding] = {}

    def tell(self, finding: Finding) -> bool:
        """Keep the first of a code, stretched over those that follow; whether it is that."""
        known = self.told.get(finding.code)
        self.told[finding.code] = finding if known is None else joined(known, finding)
        return known is None


class _Process(SampledProcess):
    __slots__ = ("declared", "optimizers", "trained")

    def __init__(self) -> None:
        super().__init__()
        self.declared: Declared | None = None
        self.trained: Names | None = None  # by the plan
        self.optimizers: dict[int, _Optimizer] = {}

    def optimizer(self, ordinal: int) -> _Optimizer:
        """Of this number."""
        found = self.optimizers.get(ordinal)
        if found is None:
            found = self.optimizers[ordinal] = _Optimizer()
            self.size += OF_AN_OPTIMIZER
        return found

    def findings(self) -> Iterator[Finding]:
        """What is to be told of it."""
        return (found for each in self.optimizers.values() for found in each.told.values())


class _State:
    __slots__ = ("declarations", "followed", "noted")

    def __init__(self) -> None:
        self.noted = Noted()
        self.declarations = Declarations()
        self.followed = Followed(
            _Process, size=MAX_LINES, noted=self.noted, gone=self._gone,
            what="gradients are not followed from the backward to the step",
            max_resting=0,  # on another connection it says its layouts again
        )  # fmt: skip

    def _gone(self, process: _Process) -> None:
        for each in process.findings():
            self.noted.keep(each)


class GradientCheck(HeldToApproved):
    """Every Update whose samples say what the backward left."""

    name = CHECK_NAME

    def start(self) -> _State:
        """See `Check.start`."""
        return _State()

    def step(self, state: _State, item: Item) -> tuple[_State, tuple[Finding, ...]]:
        """See `Check.step`."""
        state.declarations.take(item)
        for said, process in state.followed.take(item, SampledFrame | SampleFrame | UpdateFrame):
            frame = said.frame
            if isinstance(frame, SampledFrame | SampleFrame):
                process.hears(frame, state.followed.room)
            elif isinstance(frame, UpdateFrame):
                if process.declared is None:
                    _hold(process, state.declarations.of(said.process.attempt))
                self._judge(state, process, frame, said)
        return state, state.noted.news()

    def finish(self, state: _State, *, ended: bool) -> tuple[Finding, ...]:
        """See `Check.finish`."""
        del ended
        return (*state.noted.kept(), *(each for process in state.followed.kept() for each in process.findings()))

    def _judge(self, state: _State, process: _Process, frame: UpdateFrame, said: Spoken) -> None:
        samples = process.of(frame)
        if not samples or frame.skipped or frame.optimizer >= MAX_OPTIMIZERS:
            return
        optimizer = process.optimizer(frame.optimizer)
        step = frame.update if frame.optimizer == 0 else None
        name = f"gradients of optimizer {frame.optimizer}"
        of = partial(_finding, subject=name, steps=(step, step), ranks=(said.rank,), evidence=(said.entry,))
        pairs, dtypes = _pairs(process, samples)
        if not pairs:
            if frame.update:
                _unknown(state, optimizer, of)
            return
        optimizer.is_known = True
        dtype = max(dtypes, key=EPSILON.__getitem__)
        found = became(pairs, dtype)
        if found.kind in {"same", "scaled", "clamped"}:
            optimizer.plain = None if optimizer.plain is None else optimizer.plain + 1
            as_clipped = _is_as_clipped(frame, found, dtype)
            optimizer.as_clipped = _counted(optimizer.as_clipped, was_so=as_clipped)
            if not as_clipped:
                _tell(state, optimizer, self._clipped(of, optimizer, process, frame, said))
            return
        optimizer.plain = _counted(optimizer.plain, was_so=False)
        if found.kind == "uneven":
            what = f"Parts of them were made smaller or larger between the backward and the step, {_where(found)}."
            _tell(state, optimizer, of(code=UNEVEN, severity="info", message=f"{what} {PARTS}"))
            zeroed = None if frame.optimizer else self._zeroed(process, optimizer, pairs, said)
            if zeroed is not None:
                _tell(state, optimizer, of(code=ZEROED, severity=self.weight(said.process.attempt), message=zeroed))
        elif optimizer.plain is None:
            _tell(state, optimizer, of(code=CHANGED, severity="info", message=_message(found)))
        else:
            _tell(state, optimizer, of(code=CHANGED, severity="warning", message=_message(found)))

    def _clipped(
        self, of: partial[Finding], optimizer: _Optimizer, process: _Process, frame: UpdateFrame, said: Spoken
    ) -> Finding:
        """Gradients that are not as the clipping that was measured makes them, weighed by the plan if it has one."""
        declared, attempt = process.declared, said.process.attempt
        norm = None if declared is None or declared.plan is None else declared.plan.max_norm
        if norm is None or frame.optimizer or optimizer.as_clipped is None:
            return of(code=CLIPPED, severity="info", message=f"{OTHERWISE} {LATE}")
        what = f"{OTHERWISE} Clipping at {norm:.6g} is planned, and until now it was all that became of them."
        return of(code=CLIPPED, severity=self.weight(attempt), message=what + self.in_words(attempt))

    def _zeroed(self, process: _Process, optimizer: _Optimizer, pairs: list[Pair], said: Spoken) -> str | None:
        """What is told of tensors that are to be trained, where nothing was left between the backward and the step."""
        if process.trained is None or optimizer.plain is None:
            return None
        names = [each.name for each in pairs if any(each.finished) and not any(each.read)]
        wanted = [name for name in names if process.trained.fit(name)]
        if not wanted:
            return None
        what = f"Between the backward and the step nothing was left of the gradient of {_listed(wanted)}"
        return f"{what}, and the plan says that it is trained.{self.in_words(said.process.attempt)}"


def _counted(before: int | None, *, was_so: bool) -> int | None:
    """Updates from the first on that were so; `None` for good where one of the first was not."""
    if before is None or was_so:
        return None if before is None else before + 1
    return None if before < ENOUGH else before


def _hold(process: _Process, declared: Declared | None) -> None:
    if declared is not None:
        process.declared = declared
        trained = None if declared.plan is None else declared.plan.trained
        process.trained = Names(trained) if isinstance(trained, tuple) else None


def _tell(state: _State, optimizer: _Optimizer, finding: Finding) -> None:
    if not state.noted.keeps_as_expected(finding) and optimizer.tell(finding):
        state.noted.announce(finding)


def _unknown(state: _State, optimizer: _Optimizer, of: partial[Finding]) -> None:
    """What the backward left is not said: from the first Update on, or no more."""
    if optimizer.is_known:
        message = f"What the last backward left of them is not in the record any more. {ANOTHER}"
        _tell(state, optimizer, of(code=NOT_CHECKABLE, severity="info", message=message))
    else:
        message = f"What a backward leaves of them is not in the record. {NOBODY}"
        _tell(state, optimizer, of(code=NOT_FOLLOWED, severity="info", message=message))


def _is_as_clipped(frame: UpdateFrame, found: Became, dtype: str) -> bool:
    """Whether a clipping that was measured is what became of the gradients; also where nothing tells."""
    norm = frame.gradient_norm
    if norm is None or "gradient_norm" in frame.deferred or found.factor is None:
        return True
    coefficient = norm.coefficient
    if isinstance(coefficient, str) or not 0 < coefficient < math.inf or not 0 < found.factor < math.inf:
        return True
    left = math.log2(found.factor) - math.log2(coefficient)
    return abs(left - round(left)) <= NEAR + ROUNDINGS * EPSILON[dtype] / math.log(2)


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
    return f"in {found.bad} of {found.of} sampled elements of {_listed(found.names)}"


def _listed(names: Sequence[str]) -> str:
    more = len(names) - MAX_NAMED
    return ", ".join(names[:MAX_NAMED]) + (f" and {more} more" if more > 0 else "")


GRADIENTS: Final = GradientCheck()
