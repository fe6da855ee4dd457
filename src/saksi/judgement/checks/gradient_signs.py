"""Did a layer stop getting gradients, or get some of a single sign: zero and sign statistics of sampled elements.

All of it has honest causes that no record excludes, so it is `info`, as all that says how training went (`dynamics`).
One finding for each of the two in an attempt, over all tensors and ranks, from the first Update to the last.

Known weaknesses: what was so from the start is not told, nor what is so in parts of a tensor; a gradient turned around
as a whole has both signs as before. Updates that are thinned say nothing, so the first one may have come earlier.
"""

from __future__ import annotations

from functools import partial
from typing import Final

from saksi.judgement.checks.fold import MAX_EVIDENCE, Noted, observation
from saksi.judgement.checks.followed import Followed
from saksi.judgement.checks.sampled_process import SampledProcess
from saksi.judgement.checks.spoken import Spoken
from saksi.judgement.dynamics.signs import USUAL, Became, Signs
from saksi.judgement.items import Item
from saksi.judgement.updates.samples import gradients_in
from saksi.words.errors import MalformedInput
from saksi.words.findings import Finding
from saksi.words.frames import SampledFrame, SampleFrame, UpdateFrame

__all__ = ["GRADIENT_SIGNS", "GradientSignsCheck"]

CHECK_NAME: Final = "dynamics"
VANISHED: Final = "dynamics.gradient_vanished"
ONE_SIDED: Final = "dynamics.gradient_one_sided"
MAX_LINES: Final = 1 << 20
"""Of the layouts of all processes, with the tensors that are followed."""
MAX_CAUSES: Final = 256
MAX_NAMES: Final = 4_096
MAX_RANKS: Final = 1_024
MAX_NAMED: Final = 4
_SAID: Final = {
    VANISHED: (
        "zero in every sampled element",
        "Units that no longer fire, a part that was frozen or cut off, and a loss that reached zero do that.",
    ),
    ONE_SIDED: (
        "on one side of zero in every sampled element",
        "Inputs or labels that have become all alike, and units in saturation, do that.",
    ),
}
_CODES: Final = {"vanished": VANISHED, "one_sided": ONE_SIDED}
_finding = partial(observation, check=CHECK_NAME, severity="info")


class _Process(SampledProcess):
    __slots__ = ("signs",)

    def __init__(self) -> None:
        super().__init__()
        self.signs: dict[tuple[int, str], Signs] = {}

    def of_tensor(self, optimizer: int, name: str, room: int) -> Signs | None:
        """A tensor's; `None` where there is no room for one more."""
        found = self.signs.get((optimizer, name))
        if found is None and room > 0:
            found = self.signs[optimizer, name] = Signs()
            self.size += 1
        return found


class _Cause:
    """What became so in an attempt: in which tensors, on which ranks, from the first Update to the last."""

    __slots__ = ("entries", "first", "last", "names", "ranks")

    def __init__(self, first: int) -> None:
        self.entries: dict[int, None] = {}
        self.names: dict[str, None] = {}  # in the order in which they became so
        self.ranks: set[int] = set()
        self.first = self.last = first

    def take(self, name: str, became: Became, said: Spoken, update: int) -> None:
        """Takes in that it is so of one tensor."""
        self.first, self.last = min(self.first, became.first), max(self.last, update)
        if len(self.names) < MAX_NAMES:
            self.names[name] = None
        if len(self.ranks) < MAX_RANKS:
            self.ranks.add(said.rank)
        if len(self.entries) < MAX_EVIDENCE:
            self.entries[said.entry] = None


class _State:
    __slots__ = ("causes", "followed", "noted")

    def __init__(self) -> None:
        self.noted = Noted()
        self.causes: dict[tuple[int, int, str], _Cause] = {}  # by attempt, optimizer and code
        self.followed = Followed(
            _Process, size=MAX_LINES, noted=self.noted, what="the signs of gradients are not looked at", max_resting=0
        )


class GradientSignsCheck:
    """The gradients that each optimizer read, tensor by tensor, against those before in the same process."""

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
                process.hold(frame, state.followed.room)
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
    if frame.skipped or "skipped" in frame.deferred:  # what overflowed has no sign
        return
    for each in samples:
        layout = process.layouts.get(each.layout)
        if layout is None:
            continue
        try:
            pairs = tuple(gradients_in(layout, each))
        except MalformedInput:
            continue  # the shadow update tells of it
        for pair in pairs:
            signs = process.of_tensor(frame.optimizer, pair.name, state.followed.room)
            became = None if signs is None else signs.take(frame.update, pair.finished)
            if became is not None:
                _note(state, became, pair.name, frame, said)


def _note(state: _State, became: Became, name: str, frame: UpdateFrame, said: Spoken) -> None:
    at = (said.process.attempt, frame.optimizer, _CODES[became.change])
    known = state.causes.get(at)
    if known is None and len(state.causes) >= MAX_CAUSES:
        return
    cause = known or state.causes.setdefault(at, _Cause(became.first))
    cause.take(name, became, said, frame.update)
    if known is None:
        state.noted.announce(_told(at[2], frame.optimizer, cause))


def _told(code: str, optimizer: int, cause: _Cause) -> Finding:
    """The finding; only optimizer 0 counts Steps."""
    names = list(cause.names)
    more = f" and {len(names) - MAX_NAMED} more tensors" if len(names) > MAX_NAMED else ""
    was, honest = _SAID[code]
    return _finding(
        code=code,
        subject="gradients" if optimizer == 0 else f"gradients of optimizer {optimizer}",
        message=(
            f"The gradient of {', '.join(names[:MAX_NAMED])}{more} has become {was}: from update {cause.first} on, and "
            f"at update {cause.last} the last time. In {USUAL} updates before, of those that give samples, it was not "
            f"so once. {honest}"
        ),
        steps=(None, None) if optimizer else (cause.first, cause.last),
        ranks=tuple(sorted(cause.ranks)),
        evidence=tuple(cause.entries),
    )


GRADIENT_SIGNS: Final = GradientSignsCheck()
