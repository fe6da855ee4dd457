"""What a program told a tracker of its loss, held against the losses that backward was called on.

How the one is made of the other is learned from the first reports (`metrics.relation`), and only a break of what held
is told, as `info`: a loss that is weighed or accumulated otherwise from a step on looks the same. Reports are put
beside Updates by the Step that they name, since a device may deliver either of them later.

Known weaknesses: only metrics whose name is that of a training loss, of the process's optimizer 0, are looked at; what
was reported otherwise from the first report on is not told, nor what departs slowly.
"""

from __future__ import annotations

import math
import re
from collections import deque
from functools import partial
from typing import Final

from saksi.judgement.checks.fold import Noted, observation
from saksi.judgement.checks.followed import Followed
from saksi.judgement.checks.spoken import Spoken
from saksi.judgement.items import Item
from saksi.judgement.metrics.losses import Losses
from saksi.judgement.metrics.relation import NEAR, Broken, Relation
from saksi.words.findings import Finding
from saksi.words.frames import MetricFrame, UpdateFrame

__all__ = ["CHECK_NAME", "METRICS", "MetricCheck", "is_training_loss"]

CHECK_NAME: Final = "metrics"
DIFFERS: Final = "metrics.loss_differs"
NOT_COMPARED: Final = "metrics.not_compared"
MAX_METRICS: Final = 8
"""Losses of one process that are followed, by tracker and name."""
MAX_ALL: Final = 1_024
"""Processes and metrics that are followed at a time: each is some 40 kilobytes."""
MAX_BEHIND: Final = 32
"""Updates that wait for reports of Steps before them; a recorder lets 16 reports wait for a device."""
FEW: Final = 28
"""Reports that it takes to learn a relation and to see it break."""
_LOSSES: Final = frozenset({"loss", "train_loss", "training_loss", "loss_train", "loss_step", "train_loss_step"})
_HELD_OUT: Final = frozenset({"val", "valid", "validation", "eval", "evaluation", "test", "dev"})
_PART: Final = re.compile(r"[/.:]")
_finding = partial(observation, check=CHECK_NAME, severity="info")


def is_training_loss(name: str) -> bool:
    """Whether a metric's name is that of a training loss: `loss`, `train/loss`, `train_loss`; not `val/loss`."""
    *before, last = _PART.split(name.lower().replace("-", "_").replace(" ", "_"))
    return last in _LOSSES and _HELD_OUT.isdisjoint(before)


class _Metric:
    __slots__ = ("entries", "name", "relation", "told")

    def __init__(self, name: str, losses: Losses) -> None:
        self.name = name
        self.relation = Relation(losses)
        self.entries: list[int] = []
        self.told = False


class _Process:
    """Losses and reports of one process. Updates wait until what was reported before them has come."""

    __slots__ = ("_waiting", "losses", "metrics", "next", "rank", "size")

    def __init__(self) -> None:
        self.size = 1
        self.losses = Losses()
        self.metrics: dict[tuple[str, str], _Metric] = {}
        self.next = 0  # the Update whose loss is to be taken next
        self.rank = 0
        self._waiting: deque[tuple[int, float | None, int]] = deque()

    def update(self, frame: UpdateFrame) -> None:
        """Takes an Update of optimizer 0 in."""
        loss = None if frame.loss is None or "loss" in frame.deferred else float(frame.loss)
        items = sum(each.items or 0 for each in frame.batches)
        self._waiting.append((frame.update, loss if loss is not None and math.isfinite(loss) else None, items))
        if len(self._waiting) > MAX_BEHIND:
            self._take()

    def up_to(self, step: int) -> bool:
        """Takes the losses of the Updates up to `step`; whether that is where the losses then stand."""
        while self._waiting and self._waiting[0][0] <= step:
            self._take()
        return self.next == step + 1

    def _take(self) -> None:
        update, loss, items = self._waiting.popleft()
        if update < self.next:
            return
        if update > self.next:  # one that is missing, or many
            self._add(None, 1)
        self._add(loss, items)
        self.next = update + 1

    def _add(self, loss: float | None, items: int) -> None:
        self.losses.take(loss, items)
        for each in self.metrics.values():
            each.relation.take_loss(loss)

    def metric(self, tracker: str, name: str, room: int) -> _Metric | None:
        """A metric that is followed; `None` beyond what is."""
        found = self.metrics.get((tracker, name))
        if found is None and len(self.metrics) < MAX_METRICS and room > 0:
            found = self.metrics[tracker, name] = _Metric(name, self.losses)
            self.size += 1
        return found


class _State:
    __slots__ = ("followed", "noted")

    def __init__(self) -> None:
        self.noted = Noted()
        what = "what it reports of its loss is not looked at"
        self.followed = Followed(_Process, size=MAX_ALL, noted=self.noted, what=what, gone=self._gone)

    def _gone(self, process: _Process) -> None:
        for each in _told(process):
            if each.code == DIFFERS:
                self.noted.keep(each)  # it was news as it was found
            else:
                self.noted.note(each)


class MetricCheck:
    """Every reported loss beside the losses of the Updates before it."""

    name = CHECK_NAME

    def start(self) -> _State:
        """See `Check.start`."""
        return _State()

    def step(self, state: _State, item: Item) -> tuple[_State, tuple[Finding, ...]]:
        """See `Check.step`."""
        for said, process in state.followed.take(item, UpdateFrame | MetricFrame):
            _take(state, process, said)
        return state, state.noted.news()

    def finish(self, state: _State, *, ended: bool) -> tuple[Finding, ...]:
        """See `Check.finish`."""
        left = [each for process in state.followed.kept() for each in _told(process, whole=ended)]
        return (*state.noted.kept(), *left)


def _take(state: _State, process: _Process, said: Spoken) -> None:
    frame = said.frame
    process.rank = said.rank
    if isinstance(frame, UpdateFrame):
        if frame.optimizer == 0:
            process.update(frame)
            _announce(state, process)
        return
    if not isinstance(frame, MetricFrame):
        return
    for name, value in frame.values:
        metric = process.metric(frame.tracker, name, state.followed.room) if is_training_loss(name) else None
        if metric is not None and process.up_to(frame.step):
            metric.relation.take_report(frame.step, float(value))
            if metric.relation.broken is None or not metric.entries:
                metric.entries[:] = [said.entry]
    _announce(state, process)


def _announce(state: _State, process: _Process) -> None:
    for metric in process.metrics.values():
        broken = metric.relation.broken
        if broken is not None and not metric.told:
            metric.told = True
            state.noted.announce(_differs(process, metric, broken))


def _told(process: _Process, *, whole: bool = True) -> list[Finding]:
    """What is told of a process; `whole`: nothing more will come of it."""
    found = []
    for metric in process.metrics.values():
        broken = metric.relation.broken
        if broken is not None:
            found.append(_differs(process, metric, broken))
        elif whole and not metric.relation.is_learned:
            found.append(_not_compared(process, metric))
    return found


def _differs(process: _Process, metric: _Metric, broken: Broken) -> Finding:
    factor = f"{broken.constant:.4g} times " if abs(broken.constant - 1.0) > NEAR else ""
    now = "no constant share of it" if broken.times is None else f"{broken.times:.4g} times that"
    levels = ""
    if broken.before is not None and broken.after is not None:
        levels = (
            f" The losses that were witnessed had a median of {broken.before:.4g} before and {broken.after:.4g} since."
        )
    message = (
        f"It was {factor}{broken.form} in {broken.held:,} reports up to step {broken.held_until}, and is {now} from "
        f"the report behind step {broken.step} on.{levels} A loss that is weighed or accumulated otherwise from then "
        "on, and a program that reports something else, look the same."
    )
    steps = (max(0, broken.step), max(0, metric.relation.last))
    return _finding(
        code=DIFFERS, subject=f"metric {metric.name}", message=message, steps=steps, ranks=(process.rank,),
        evidence=tuple(metric.entries),
    )  # fmt: skip


def _not_compared(process: _Process, metric: _Metric) -> Finding:
    reports = metric.relation.reports
    if reports < FEW:
        why = f"It was reported {reports:,} times, and it takes {FEW} to learn how it is made of the losses of updates."
    else:
        why = (
            "It is none of the known forms of the losses that backward was called on (the last, a mean, a moving "
            "average, times a constant). Sums over accumulated batches, averages over ranks and rounding look so."
        )
    return _finding(
        code=NOT_COMPARED, subject=f"metric {metric.name}", message=why, ranks=(process.rank,),
        evidence=tuple(metric.entries),
    )  # fmt: skip


METRICS: Final = MetricCheck()
