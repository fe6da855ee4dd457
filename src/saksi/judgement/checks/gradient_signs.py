"""Did a layer stop getting gradients, or get some of a single sign: zero and sign statistics of sampled elements.

All of it has honest causes that no record excludes, so it is `info`, as all that says how training went (`dynamics`).
One finding for each of the two in an attempt, over all tensors and ranks, from the first Update to the last.

Known weaknesses: what was so from the start is not told, nor what is so in parts of a tensor, nor of tensors beyond
`MAX_TENSORS`; a gradient turned around as a whole has both signs as before. Updates that are thinned say nothing, so
the first one may have come earlier.
"""

from __future__ import annotations

from functools import partial
from typing import Final

from saksi.judgement.checks.fold import MAX_EVIDENCE, Noted, observation
from saksi.judgement.checks.followed import Followed
from saksi.judgement.checks.sampled_process import MAX_OPTIMIZERS, SampledProcess
from saksi.judgement.checks.spoken import Spoken
from saksi.judgement.dynamics.signs import USUAL, Became, Signs
from saksi.judgement.items import Item
from saksi.judgement.updates.samples import gradients_in, name_of
from saksi.words.errors import MalformedInput
from saksi.words.findings import Finding
from saksi.words.frames import SampledFrame, SampledTensor, SampleFrame, UpdateFrame

__all__ = ["GRADIENT_SIGNS", "GradientSignsCheck"]

CHECK_NAME: Final = "dynamics"
VANISHED: Final = "dynamics.gradient_vanished"
ONE_SIDED: Final = "dynamics.gradient_one_sided"
MAX_LINES: Final = 1 << 20
"""Of the layouts of all processes."""
MAX_TENSORS: Final = 1 << 18
"""That are followed, of all processes."""
MAX_CAUSES: Final = 256
MAX_COUNTED: Final = 4_096
MAX_RANKS: Final = 1_024
MAX_NAMED: Final = 4
_SAID: Final = {
    VANISHED: (
        "zero in every sampled element",
        "Units that no longer fire, a part that was frozen or cut off, and a loss that reached zero do that.",
    ),
    ONE_SIDED: (
        "positive, or negative, in every sampled element",
        "Inputs or labels that have become all alike, and units in saturation, do that.",
    ),
}
_finding = partial(observation, check=CHECK_NAME, severity="info")


class _Process(SampledProcess):
    __slots__ = ("signs",)

    def __init__(self) -> None:
        super().__init__()
        self.signs: dict[tuple[int, int, int], Signs] = {}  # by optimizer, group and index


class _Cause:
    """What became so in an attempt: in which tensors, on which ranks, from the first Update to the last."""

    __slots__ = ("entries", "first", "last", "ranks", "tensors")

    def __init__(self, first: int) -> None:
        self.entries: dict[int, None] = {}
        self.tensors: dict[tuple[int, int], str] = {}  # in the order in which they became so, the first with names
        self.ranks: set[int] = set()
        self.first = self.last = first

    def take(self, tensor: SampledTensor, became: Became, said: Spoken, update: int) -> None:
        """Takes in that it is so of one tensor."""
        self.first, self.last = min(self.first, became.first), max(self.last, update)
        if len(self.tensors) < MAX_COUNTED:
            name = name_of(tensor) if len(self.tensors) < MAX_NAMED else ""
            self.tensors.setdefault((tensor.group, tensor.index), name)
        if len(self.ranks) < MAX_RANKS:
            self.ranks.add(said.rank)
        if len(self.entries) < MAX_EVIDENCE:
            self.entries[said.entry] = None


class _State:
    __slots__ = ("causes", "count", "followed", "noted")

    def __init__(self) -> None:
        self.noted = Noted()
        self.count = 0  # tensors that are followed
        self.causes: dict[tuple[int, int, str], _Cause] = {}  # by attempt, optimizer and code
        self.followed = Followed(
            _Process, size=MAX_LINES, noted=self.noted, gone=self._gone,
            what="the signs of gradients are not looked at", max_resting=0,
        )  # fmt: skip

    def _gone(self, process: _Process) -> None:
        self.count -= len(process.signs)

    def signs_of(self, process: _Process, optimizer: int, tensor: SampledTensor) -> Signs | None:
        """A tensor's; `None` where there is no room for one more."""
        place = (optimizer, tensor.group, tensor.index)
        found = process.signs.get(place)
        if found is None and self.count < MAX_TENSORS:
            found = process.signs[place] = Signs()
            self.count += 1
        return found


class GradientSignsCheck:
    """The gradients that each backward left, tensor by tensor, against those before in the same process."""

    name = CHECK_NAME

    def start(self) -> _State:
        """See `Check.start`."""
        return _State()

    def step(self, state: _State, item: Item) -> tuple[_State, tuple[Finding, ...]]:
        """See `Check.step`."""
        for said, process in state.followed.take(item, SampledFrame | SampleFrame | UpdateFrame):
            frame = said.frame
            if isinstance(frame, SampledFrame | SampleFrame):
                process.hears(frame, state.followed.room)
            elif isinstance(frame, UpdateFrame):
                _judge(state, process, frame, said)
        return state, state.noted.news()

    def finish(self, state: _State, *, ended: bool) -> tuple[Finding, ...]:
        """See `Check.finish`."""
        del ended
        told = (_told(code, optimizer, each) for (_, optimizer, code), each in state.causes.items())
        return (*state.noted.kept(), *told)


def _judge(state: _State, process: _Process, frame: UpdateFrame, said: Spoken) -> None:
    samples = process.of(frame)
    # What overflowed has no sign.
    if frame.skipped or "skipped" in frame.deferred or frame.optimizer >= MAX_OPTIMIZERS:
        return
    for each in samples:
        layout = process.layouts.get(each.layout)
        if layout is None or layout.optimizer != each.optimizer or each.finished is None:
            continue
        try:
            pairs = tuple(gradients_in(layout, each))
        except MalformedInput:
            continue  # the shadow update tells of it
        idle = set(each.idle)
        having = [tensor for place, tensor in enumerate(layout.tensors) if place not in idle]
        for tensor, pair in zip(having, pairs, strict=True):
            signs = state.signs_of(process, frame.optimizer, tensor)
            became = None if signs is None else signs.take(frame.update, pair.finished)
            if became is not None:
                _note(state, became, tensor, frame, said)


def _note(state: _State, became: Became, tensor: SampledTensor, frame: UpdateFrame, said: Spoken) -> None:
    at = (said.process.attempt, frame.optimizer, VANISHED if became.kind == "zero" else ONE_SIDED)
    known = state.causes.get(at)
    if known is None and len(state.causes) >= MAX_CAUSES:
        return
    cause = known or state.causes.setdefault(at, _Cause(became.first))
    cause.take(tensor, became, said, frame.update)
    if known is None:
        state.noted.announce(_told(at[2], frame.optimizer, cause))


def _told(code: str, optimizer: int, cause: _Cause) -> Finding:
    """The finding; only optimizer 0 counts Steps."""
    named = [each for each in cause.tensors.values() if each]
    left = len(cause.tensors) - len(named)
    more = f" and {left:,}{' or more' if len(cause.tensors) == MAX_COUNTED else ''} more tensors" if left else ""
    was, honest = _SAID[code]
    return _finding(
        code=code,
        subject="gradients" if optimizer == 0 else f"gradients of optimizer {optimizer}",
        message=(
            f"The gradient of {', '.join(named)}{more} has become {was}: of the first of them from update "
            f"{cause.first} on, and at update {cause.last} the last time. Earlier it had both signs in {USUAL} updates "
            f"with samples, one after another. {honest}"
        ),
        steps=(None, None) if optimizer else (cause.first, cause.last),
        ranks=tuple(sorted(cause.ranks)),
        evidence=tuple(cause.entries),
    )


GRADIENT_SIGNS: Final = GradientSignsCheck()
