"""How a reported loss is made of the witnessed ones: learned from the first reports, and whether it breaks.

Rules: nothing is known beforehand: of every known form that is followed, with a constant factor, the first report gives
the factor and those behind it confirm it or not; only a relation that was confirmed by `HELD` reports that differ can
break; it is broken if `BROKEN` reports in a row are off at once and by far, if it did not merely begin anew, and if
no other form takes its place.

Known weaknesses: a report that departs slowly, by less than `FAR`, or by a power of two (as a gradient scaler changes
the loss) is not seen; nor is one that is made otherwise from the first report on. An average that keeps about a half of
itself, of losses that change little, looks like a scaled loss as it begins anew, and departs for some reports.
"""

from __future__ import annotations

import math
from collections import deque
from typing import Final, NamedTuple, TypeGuard

from saksi.judgement.metrics.losses import KEPT, LARGEST, Form, Losses, Mark, Running, forms

__all__ = ["BROKEN", "HELD", "NEAR", "Broken", "Relation"]

HELD: Final = 20
"""Reports that confirm a relation, each of another value than the one before by `DIFFERENT`."""
BROKEN: Final = 8
"""Reports in a row that break it."""
BY_CHANCE: Final = 3
"""Reports just before that which may have been near by chance."""
ANEW: Final = 4
"""Reports of these that a form explains which began anew."""
ODD: Final = 2
"""The first report of an epoch may be another one: where a form began anew is looked for as often."""
HEIR: Final = 5
"""Reports of these that another form explains."""
NEAR: Final = 1e-3
"""Of the value: how far a report may be off. What is rounded to four digits is off by half of that."""
FAR: Final = 1e-2
FAR_SMOOTHED: Final = 0.04
DIFFERENT: Final = 1e-2
PATIENCE: Final = 128
"""Reports after which no relation is looked for any more."""
MAX_STARTS: Final = 64
"""Updates at which a form may have begun anew, that are tried."""
SCALED: Final = 0.75
"""A factor below it: a gradient scaler may have made the losses larger, which means do not survive as it changes."""
LEAST: Final = 1e-12
"""A smaller number is nothing that a program trains on, and its share of another may be no number."""
MAX_EXPONENT: Final = 32
SLOWEST: Final = 0.98
"""What a moving average that is followed back to its level keeps of itself, from one report to the next, at most."""
DECIMALS: Final = 8
"""A program that rounds to more decimals is taken not to round."""


class Broken(NamedTuple):
    """A relation that held in so many reports, the last at `held_until`; from that at `step` on it is off by `times`.

    `times` is null where it is not the same factor each time. `before` and `after` are medians of the witnessed losses
    before it broke and since.
    """

    form: Form
    constant: float
    held: int
    held_until: int
    step: int
    times: float | None
    before: float | None
    after: float | None


class _Report(NamedTuple):
    """One report, with what it is compared with. `mark` is where the report before it stood."""

    step: int
    value: float
    mark: Mark
    slack: float

    def is_near(self, expected: float) -> bool:
        return self.off(expected) <= NEAR

    @property
    def is_fine(self) -> bool:
        """Whether it is not rounded so far that many forms are near."""
        return self.slack <= NEAR * abs(self.value)

    def off(self, expected: float) -> float:
        """How far it is from what is expected, as a share of that, beyond what rounding explains."""
        return max(0.0, abs(self.value - expected) - self.slack) / abs(expected)


class _Candidate:
    """One form with its factor. `is_early`: the report comes before the Update whose loss is its last.

    A factor that is given stays: of many forms with any factor one is always near.
    """

    __slots__ = (
        "_shown",
        "anew",
        "constant",
        "hits",
        "hits_at",
        "is_bound",
        "is_early",
        "learned",
        "misses",
        "ratios",
        "restarts",
        "running",
        "seen",
    )

    def __init__(
        self, form: Form, losses: Losses, start: int, *, is_early: bool, constant: float | None = None
    ) -> None:
        self.running = Running(form, losses, start)
        self.is_early = is_early
        self.constant = constant
        self.learned = 0.0  # the factor as it was confirmed
        self.is_bound = constant is not None
        self.hits = 0
        self.seen = 0  # of the hits those that differ
        self.misses = 0
        self.ratios: list[float] = []
        self.restarts: list[tuple[Running, float]] = []  # each with its factor, which the first report gave
        self.anew = 0  # reports that those explain
        self._shown = 0.0
        self.hits_at = deque([start], maxlen=BY_CHANCE)  # how many Updates there were at the last hits

    @property
    def is_learned(self) -> bool:
        """Whether it was confirmed often enough."""
        return self.seen >= HELD and (self.running.form.kind == "last" or abs(self.constant or 0.0) >= SCALED)

    def take(self, loss: float | None) -> None:
        """The next Update's loss."""
        self.running.take(loss)
        for each, _ in self.restarts:
            each.take(loss)

    def learn(self, report: _Report, losses: Losses) -> None:
        """Takes a report in while nothing is known."""
        found = self.running.value(losses, report.mark)
        if not _is_measurable(found):
            return
        if self.constant is not None and report.is_near(self.constant * found):
            self._hit(report, losses)
        elif self.is_bound:
            self.hits = self.seen = 0
        elif self.constant is None or self.hits < HEIR or self.misses:
            self.constant, self.hits, self.seen, self.misses = report.value / found, 0, 0, 0
        else:
            self.misses += 1  # one alone is what the end of an epoch makes

    def judge(self, report: _Report, losses: Losses) -> bool:
        """Takes a report in once it is learned; `False` if it departs slowly, and is of no use any more."""
        found, constant = self.running.value(losses, report.mark), self.constant
        if found is None or constant is None or not _is_measurable(found):
            return True
        ratio = report.value / (constant * found)
        scaled = self.running.form.kind == "last" and _is_power_of_two(ratio)
        if scaled or report.is_near(constant * found):
            self.constant = constant * ratio if scaled else constant
            self._hit(report, losses)
            return True
        if self._began_anew(report, losses):
            return True
        far = self._far(found, losses)
        self.misses += 1
        if len(self.ratios) < BROKEN:
            self.ratios.append(ratio)
        return report.off(constant * found) > far or bool(self.restarts)

    def _far(self, found: float, losses: Losses) -> float:
        """What another smoothing of the same losses does not reach."""
        kind, dropped = self.running.form.kind, losses.count - self.hits_at[-1]
        many = losses.count - self.running.start
        if kind in {"mean", "weighted"} and many > KEPT and not self.misses:
            # Perhaps a window that is longer than what is kept, and full: it has dropped so many, of at most so much.
            return max(FAR_SMOOTHED, dropped * losses.highest / (abs(found) * (many - dropped)))
        return FAR if kind == "last" else FAR_SMOOTHED

    def _hit(self, report: _Report, losses: Losses) -> None:
        self.hits += 1
        self.misses = 0
        self.ratios, self.restarts = [], []
        self.hits_at.append(losses.count)
        if abs(report.value - self._shown) > DIFFERENT * abs(report.value) and report.is_fine:
            self.seen += 1
            self._shown = report.value

    def _began_anew(self, report: _Report, losses: Losses) -> bool:
        """Whether the form began anew behind the last report that it explained, as all reports since say.

        Keeps the places where it may have, while there are too few of these.
        """
        if self.running.form.kind == "last":
            return False
        followed = bool(self.restarts)
        again = [(each, factor, each.value(losses, report.mark)) for each, factor in self.restarts]
        self.restarts = [
            (each, factor)
            for each, factor, value in again
            if _is_measurable(value) and report.off(factor * value) <= FAR
        ]
        if not self.restarts and self.misses < (BROKEN if followed else ODD):
            self._look_back(report, losses)
        self.anew += 1
        if self.anew < ANEW or not self.restarts:
            return False
        self.running, self.constant = self.restarts[0]
        self._hit(report, losses)
        return True

    def _look_back(self, report: _Report, losses: Losses) -> None:
        """Keeps every place since the last reports it explained from which on it explains this one."""
        form, constant = self.running.form, self.constant or 0.0
        self.learned = self.learned or constant
        starts = range(max(self.hits_at[0], losses.count - MAX_STARTS), losses.count)
        found = [(each, each.value(losses, report.mark)) for each in (Running(form, losses, at) for at in starts)]
        self.restarts = [
            (each, report.value / value if form.is_average else constant)
            for each, value in found
            if _is_measurable(value) and report.off(constant * value) <= FAR and report.off(self.learned * value) <= FAR
        ]
        self.anew = 0


class Relation:
    """One metric beside the losses of one process."""

    __slots__ = (
        "_before",
        "_candidates",
        "_decimals",
        "_early",
        "_early_mark",
        "_held_until",
        "_learned",
        "_looked",
        "_losses",
        "_mark",
        "_off_since",
        "_others",
        "broken",
        "gave_up",
        "last",
        "reports",
    )

    def __init__(self, losses: Losses) -> None:
        self._losses = losses
        self._candidates = _fresh(losses, losses.known_from)
        self._learned: list[_Candidate] = []
        self._others: list[_Candidate] = []  # that may take its place
        self._mark = self._early_mark = losses.mark_at(losses.known_from) or losses.mark()
        self._early: _Report | None = None  # waits for the next Update
        self._held_until = -1
        self._off_since = -1
        self._before: float | None = None
        self._decimals = 0
        self._looked = 0  # reports since it is looked for
        self.reports = 0
        self.broken: Broken | None = None
        self.last = -1  # of the reports that are off, once it is broken
        self.gave_up = False

    @property
    def is_learned(self) -> bool:
        """Whether it is known how the metric is made."""
        return bool(self._learned)

    def take_loss(self, loss: float | None) -> None:
        """The next Update; its loss has been taken into the losses already."""
        for each in (*self._candidates, *self._learned, *self._others):
            each.take(loss)
        if self._early is not None:
            report, self._early = self._early, None
            self._judge(report._replace(mark=self._early_mark), is_early=True)
            self._early_mark = self._losses.mark()

    def take_report(self, step: int, value: float) -> None:
        """A report behind the Update `step`."""
        self.reports += 1
        if self.gave_up or not _is_measurable(value):
            self._mark = self._losses.mark()
            return
        self._looked += 1
        self._decimals = max(self._decimals, _decimals(value))
        slack = 0.5 * 10.0**-self._decimals if self._decimals <= DECIMALS else 0.0
        self._early = _Report(step, value, self._mark, slack)
        self._judge(self._early, is_early=False)
        self._mark = self._losses.mark()

    def _judge(self, report: _Report, *, is_early: bool) -> None:
        for each in (*self._candidates, *self._others):
            if each.is_early is is_early:
                each.learn(report, self._losses)
        if not self._learned:
            self._learn()
            return
        known = len(self._learned)
        self._learned = [
            each for each in self._learned if each.is_early is not is_early or each.judge(report, self._losses)
        ]
        if all(each.misses for each in self._learned):
            if len(self._learned) < known or not known:  # the last that held departed slowly
                self._look_for(_fresh(self._losses, self._losses.count))
            else:
                self._is_off(report.step)
        elif any(not each.misses and each.is_early is is_early for each in self._learned):
            self._learned = [each for each in self._learned if each.misses < BROKEN]
            self._held_until, self._off_since, self._others = report.step, -1, []

    def _learn(self) -> None:
        self._learned = [each for each in self._candidates if each.is_learned]
        if self._learned:
            self._candidates = []
        elif self._looked >= PATIENCE and not any(each.seen >= HEIR for each in self._candidates):
            self._candidates, self.gave_up = [], True

    def _look_for(self, candidates: list[_Candidate]) -> None:
        self._learned, self._others, self._candidates = [], [], candidates
        self._looked, self._off_since = 0, -1

    def _is_off(self, step: int) -> None:
        """No form that held explains the report."""
        if self.broken is not None:
            self.last = step
            return
        if self._off_since < 0:
            known = {each.running.form for each in self._learned}
            starts = {at for each in self._learned for at in each.hits_at}
            constant = self._best().constant
            fresh = [each for start in starts for each in _fresh(self._losses, start, constant)]
            self._others = [each for each in fresh if each.running.form not in known]
            self._others += _windows(self._losses, self._learned[0].running.start, constant)
            self._off_since, self._before = step, self._losses.median(BROKEN)
        if any(each.misses < BROKEN or each.restarts for each in self._learned):
            return
        if any(each.hits >= HEIR for each in self._others):
            self._look_for(self._others)
            return
        best = self._best()
        if _begins_at_zero(best.ratios):
            self._look_for(_fresh(self._losses, self._losses.count))
            return
        self.last = step
        self.broken = Broken(
            form=best.running.form,
            constant=best.constant or 0.0,
            held=best.hits,
            held_until=self._held_until,
            step=self._off_since,
            times=_same(best.ratios),
            before=self._before,
            after=self._losses.median(BROKEN),
        )

    def _best(self) -> _Candidate:
        return max(self._learned, key=lambda each: (each.hits, each.running.form.kind == "last"))


def _fresh(losses: Losses, start: int, constant: float | None = None) -> list[_Candidate]:
    return _both(forms(), losses, start, constant)


def _windows(losses: Losses, start: int, constant: float | None) -> list[_Candidate]:
    """Windows of every size: one that was not full yet looked like a mean, and one of low noise like another."""
    return _both([Form("window", size) for size in range(2, KEPT + 1)], losses, start, constant)


def _both(kinds: list[Form], losses: Losses, start: int, constant: float | None) -> list[_Candidate]:
    return [
        _Candidate(form, losses, start, is_early=early, constant=constant) for form in kinds for early in (False, True)
    ]


def _is_measurable(value: float | None) -> TypeGuard[float]:
    """Whether it is a number of which a share says anything."""
    return value is not None and LEAST <= abs(value) <= LARGEST


def _is_power_of_two(ratio: float) -> bool:
    """Whether it is one, other than 1, up to the tolerance."""
    if ratio <= 0:
        return False
    exponent = round(math.log2(ratio))
    return exponent != 0 and abs(exponent) <= MAX_EXPONENT and abs(ratio / 2.0**exponent - 1.0) <= NEAR


def _same(ratios: list[float]) -> float | None:
    """The factor that all of them are."""
    middle = sorted(ratios)[len(ratios) // 2]
    return middle if all(abs(each / middle - 1.0) <= FAR for each in ratios) else None


def _begins_at_zero(ratios: list[float]) -> bool:
    """Whether the reports are those of a moving average that began anew with zero, whatever it keeps of itself.

    Where the losses change little, a form that is followed looks like one that keeps another share, until that begins
    anew: of its level it then lacks what it keeps, and after every further report the same share of what it lacked.
    """
    begun = next((at for at, each in enumerate(ratios) if abs(each - 1.0) > FAR_SMOOTHED), len(ratios))
    lacks = [1.0 - each for each in ratios[begun:]]
    if len(lacks) < ANEW or not 0.0 < lacks[1] <= SLOWEST * lacks[0]:
        return False
    keeps = lacks[1] / lacks[0]
    return keeps - FAR <= lacks[0] < 1.0 and all(
        abs(each - lacks[0] * keeps**at) <= FAR for at, each in enumerate(lacks)
    )


def _decimals(value: float) -> int:
    """Digits behind the point of the shortest text that is the number."""
    text = repr(value)
    if "e" in text:
        return DECIMALS + 1
    return len(text.partition(".")[2])
