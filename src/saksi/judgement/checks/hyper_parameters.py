"""Did a hyper-parameter that had stood still change while the run went on.

A learning rate follows a schedule, and only a plan or a rehearsal can say which; it is not judged here. All others
(betas, eps, weight decay, momentum, flags of the kernel) stand still in most programs, or move from the first Updates
on, as momentum in a cyclic schedule does. One that stood still and then changed is told, with both values.

What torch's schedulers cycle, within the bounds that they keep in the group, and what no optimizer of torch's has, is
told and no more: the first is a schedule, the second may be what an optimizer works out for itself.

Known weakness: one that is changed before the first Update was always so; a slow drift that begins at once looks like a
schedule; whoever puts bounds of a cycle into the group has a schedule.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any, Final, NamedTuple

import msgspec

from saksi.judgement.checks.fold import Noted, observation
from saksi.judgement.checks.followed import Followed
from saksi.judgement.checks.spoken import Spoken
from saksi.judgement.items import Item
from saksi.words.digest import sha256
from saksi.words.findings import Finding, Severity
from saksi.words.frames import UpdateFrame

__all__ = ["HYPER_PARAMETERS", "HyperParameterCheck"]

CHECK_NAME: Final = "hyper_parameters"
CHANGED: Final = "plan.hyper_parameter_changed"
SCHEDULED: Final = frozenset({"lr", "initial_lr", "max_lr", "min_lr", "base_momentum", "max_momentum"})
"""Learning rates, and what torch's schedulers keep in a group for themselves."""
TORCHS: Final = frozenset({
    "adjust_lr_fn", "alpha", "amsgrad", "beta2_decay", "betas", "capturable", "centered", "dampening",
    "decoupled_weight_decay", "differentiable", "eps", "etas", "foreach", "fused", "history_size",
    "initial_accumulator_value", "lambd", "line_search_fn", "lr_decay", "max_eval", "max_iter", "maximize", "momentum",
    "momentum_decay", "nesterov", "ns_coefficients", "ns_steps", "rho", "step_sizes", "t0", "tolerance_change",
    "tolerance_grad", "weight_decay",
})  # fmt: skip
"""What optimizers of torch have, and most others too; but for `d`, Adafactor's threshold, which others learn."""
STILL: Final = 3
"""Updates in a row with one value, after which it counts as standing still."""
MAX_SHOWN: Final = 80
"""Characters of a value that are kept and shown."""
MAX_KEPT: Final = 4_096
"""Hyper-parameters of one process that are followed."""
MAX_ALL: Final = 1 << 18
"""Of all processes."""
CAUSES: Final = "A schedule of the program's own looks the same; a callback or a hook may have set it."
_finding = partial(observation, check=CHECK_NAME)


class _Value:
    """One hyper-parameter of one group as it was last seen, and for how many Updates it has been so."""

    __slots__ = ("moves", "still", "told", "value")

    def __init__(self, value: Any) -> None:
        self.value = value
        self.still = 1
        self.told: dict[Severity, str] = {}  # what was said first: what comes later stretches it
        self.moves = False  # it has moved before it stood still: a schedule

    def becomes(self, value: Any) -> bool:
        """Whether it had stood still and is another now."""
        if self.value == value:
            self.still += 1
            return False
        stood, self.value, self.still = self.still, value, 1
        self.moves = self.moves or stood < STILL
        return not self.moves


class _Changed(NamedTuple):
    subject: str
    message: str
    severity: Severity


class _Process:
    __slots__ = ("groups", "size", "values")

    def __init__(self) -> None:
        self.size = 0
        self.groups: dict[int, int] = {}  # of each optimizer
        self.values: dict[tuple[int, int, str], _Value] = {}

    def take(self, frame: UpdateFrame, room: int) -> Iterator[_Changed]:
        """Each hyper-parameter of an Update that had stood still and is another now. `room`: so many more are kept."""
        if self._lost_groups(frame):
            self.values = {key: each for key, each in self.values.items() if key[0] != frame.optimizer}
            self.size = len(self.values)
        most = min(MAX_KEPT, self.size + room)
        for number, group in enumerate(frame.groups if not frame.skipped else ()):
            for name, value in group.items():
                key = (frame.optimizer, number, name)
                known = self.values.get(key)
                if known is not None:
                    before, stood = known.value, known.still
                    if known.becomes(_kept(value)):
                        subject = f"{name} of optimizer {frame.optimizer}, group {number}"
                        first = f"{_told(before, value)} after {stood} updates. {CAUSES}"
                        severity = _weight(name, before, value, group)
                        yield _Changed(subject, known.told.setdefault(severity, first), severity)
                elif name not in SCHEDULED and self.size < most:
                    self.values[key] = _Value(_kept(value))
                    self.size += 1

    def _lost_groups(self, frame: UpdateFrame) -> bool:
        """Whether the optimizer has fewer groups than it had: those behind one that went have another number now."""
        count = len(frame.groups) + frame.groups_omitted
        before = self.groups.get(frame.optimizer, count)
        if frame.optimizer in self.groups or len(self.groups) < MAX_KEPT:
            self.groups[frame.optimizer] = count
        return count < before


class _State:
    __slots__ = ("followed", "noted")

    def __init__(self) -> None:
        self.noted = Noted()
        what = "hyper-parameters are not compared"
        self.followed = Followed(_Process, size=MAX_ALL, noted=self.noted, what=what)


class HyperParameterCheck:
    """Every group of every Update against the one before it."""

    name = CHECK_NAME

    def start(self) -> _State:
        """See `Check.start`."""
        return _State()

    def step(self, state: _State, item: Item) -> tuple[_State, tuple[Finding, ...]]:
        """See `Check.step`."""
        for said, process in state.followed.take(item, UpdateFrame):
            if isinstance(said.frame, UpdateFrame):
                _take(state, process, said, said.frame)
        return state, state.noted.news()

    def finish(self, state: _State, *, ended: bool) -> tuple[Finding, ...]:
        """See `Check.finish`."""
        del ended
        return state.noted.kept()


def _take(state: _State, process: _Process, said: Spoken, frame: UpdateFrame) -> None:
    step = frame.update if frame.optimizer == 0 else None
    of = partial(_finding, steps=(step, step), ranks=(said.rank,), evidence=(said.entry,))
    for found in process.take(frame, state.followed.room):
        state.noted.note(of(code=CHANGED, severity=found.severity, subject=found.subject, message=found.message))


def _weight(name: str, before: Any, now: Any, group: dict[str, Any]) -> Severity:
    return "warning" if name in TORCHS and not _is_cycled(name, before, now, group) else "info"


def _is_cycled(name: str, before: Any, now: Any, group: dict[str, Any]) -> bool:
    """Whether a momentum moved as torch's OneCycleLR and CyclicLR move it: within the bounds that they keep."""
    if name == "betas" and isinstance(before, list) and isinstance(now, list) and before[1:] == now[1:]:
        now = now[0] if now else None
    elif name != "momentum":
        return False
    low, high = group.get("base_momentum"), group.get("max_momentum")
    return all(type(each) in {int, float} for each in (low, now, high)) and low <= now <= high


def _kept(value: Any) -> Any:
    """A value as it is compared: one that is long by its digest."""
    said = msgspec.json.encode(value)
    return value if len(said) <= MAX_SHOWN else str(sha256(said))


def _told(before: Any, now: Any) -> str:
    return f"It stood still, and changed from {_shown(before)} to {_shown(now)}"


def _shown(value: Any) -> str:
    return msgspec.json.encode(value).decode()[:MAX_SHOWN]


HYPER_PARAMETERS: Final = HyperParameterCheck()
