"""How a reported loss is made of the witnessed ones is found out, and a report that departs from it is told."""

from __future__ import annotations

import math
from collections import deque
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from saksi.judgement.metrics.losses import Losses
from saksi.judgement.metrics.relation import BROKEN, HELD, Relation


def training(seed, updates, noise=0.2):
    """Losses that fall, with noise."""
    random = Random(seed)
    return [
        (0.3 + 3.0 / (1 + step / 40)) * math.exp(random.gauss(0, noise)) if noise else 0.3 + 3.0 / (1 + step / 40)
        for step in range(updates)
    ]


class Meter:
    """What a program does with its losses before it reports: what its name says."""

    def __init__(self, kind, size=0.0):
        self.kind, self.size = kind, size
        self.reset()

    def reset(self):
        self.window = deque(maxlen=int(self.size) if self.kind == "window" else None)
        self.average, self.count = 0.0, 0

    def add(self, loss, items):
        self.window.append((loss, items))
        first = self.kind == "first" and not self.count
        self.average = loss if first else self.size * self.average + (1 - self.size) * loss
        self.count += 1

    def value(self):
        losses = [loss for loss, _ in self.window]
        if self.kind == "last":
            return losses[-1]
        if self.kind == "corrected":
            return self.average / (1 - self.size**self.count)
        if self.kind in {"first", "zero"}:
            return self.average
        if self.kind == "weighted":
            return sum(loss * items for loss, items in self.window) / sum(items for _, items in self.window)
        mean = sum(losses) / len(losses)
        if self.kind == "since":
            self.window.clear()
        return mean


def reported(
    losses, meter, *, every=1, scale=1.0, early=False, epoch=None, shown=lambda step, value: value, witnessed=None
):
    """The relation after a program has trained with these losses, and reported every so many Updates."""
    known = Losses()
    relation = Relation(known)
    witnessed = losses if witnessed is None else witnessed
    for step, loss in enumerate(losses):
        items = 3 if epoch and step % epoch == epoch - 1 else 8
        if epoch and step % epoch == 0:
            meter.reset()
        meter.add(loss, items)
        is_due = step % every == every - 1
        if early and is_due:
            relation.take_report(step - 1, shown(step, meter.value() * scale))
        known.take(witnessed[step], items)
        relation.take_loss(witnessed[step])
        if not early and is_due:
            relation.take_report(step, shown(step, meter.value() * scale))
    return relation


METERS = [
    ("last", 0), ("since", 0), ("mean", 0), ("weighted", 0), ("window", 20), ("window", 100),
    ("first", 0.9), ("zero", 0.98), ("corrected", 0.99),
]  # fmt: skip


@pytest.mark.parametrize("early", [False, True])
@pytest.mark.parametrize(("kind", "size"), METERS)
def test_what_programs_make_of_their_losses_is_found_out(kind, size, early):
    relation = reported(training(1, 400), Meter(kind, size), scale=4.0, early=early)
    assert relation.is_learned
    assert relation.broken is None


@pytest.mark.parametrize("early", [False, True])
@pytest.mark.parametrize("every", [1, 5])
@pytest.mark.parametrize(("kind", "size"), METERS)
def test_a_report_that_departs_from_a_step_on_is_told_with_its_factor(kind, size, every, early):
    def shown(step, value):
        return value * (0.9 if step >= 300 else 1.0)

    relation = reported(training(2, 700), Meter(kind, size), every=every, early=early, shown=shown)
    broken = relation.broken
    assert broken is not None
    # One of the next reports of something smoothed may be near by chance: then it is found to begin a little later.
    late = 0 if kind == "last" else 20
    assert 300 - early <= broken.step < 300 + (1 + late) * every
    assert broken.held >= HELD
    assert broken.held_until == broken.step - every
    if kind == "last":
        assert broken.times == pytest.approx(0.9, rel=1e-3)


@pytest.mark.parametrize("noise", [0.0, 0.2])
@pytest.mark.parametrize("factor", [0.7, 0.8])
@pytest.mark.parametrize("meter", [("zero", 0.9, 5, 1500), ("first", 0.99, 1, 300), ("corrected", 0.99, 1, 300)])
def test_no_place_to_begin_anew_hides_a_report_that_is_scaled_by_much(meter, factor, noise):
    kind, size, every, begin = meter

    def shown(step, value):
        return value * (factor if step >= begin else 1.0)

    relation = reported(training(2, begin + 900, noise), Meter(kind, size), every=every, shown=shown)
    assert relation.broken is not None
    assert begin <= relation.broken.step < begin + 20 * every


def test_a_report_that_is_made_up_from_a_step_on_is_told_without_a_factor():
    relation = reported(training(3, 300), Meter("last"), shown=lambda step, value: value if step < 200 else 1 / step)
    assert (relation.broken.step, relation.broken.times, relation.broken.constant) == (200, None, 1.0)
    assert relation.last == 299


def test_the_levels_before_and_after_say_which_of_the_two_moved():
    losses = [1.0 + 0.02 * (step * 7 % 10) for step in range(200)]
    relation = reported(losses, Meter("last"), shown=lambda step, value: value * (0.5001 if step >= 100 else 1))
    assert relation.broken is None  # a half is what a gradient scaler makes of a loss
    relation = reported(losses, Meter("last"), shown=lambda step, value: value * (0.7 if step >= 100 else 1))
    assert relation.broken.before == pytest.approx(relation.broken.after, rel=0.05)
    weighed = [loss * (0.7 if step >= 100 else 1) for step, loss in enumerate(losses)]
    relation = reported(losses, Meter("last"), witnessed=weighed)
    assert relation.broken.times == pytest.approx(1 / 0.7)
    assert relation.broken.after / relation.broken.before == pytest.approx(0.7, rel=0.1)


def test_fewer_reports_that_depart_than_it_takes_are_nothing():
    def shown(step, value):
        return value * (0.9 if 100 <= step < 100 + BROKEN - 1 else 1.0)

    assert reported(training(4, 200), Meter("last"), shown=shown).broken is None


def test_too_few_reports_teach_nothing():
    relation = reported(training(4, HELD), Meter("last"))
    assert not relation.is_learned
    assert relation.reports == HELD


@pytest.mark.parametrize("early", [False, True])
@pytest.mark.parametrize("epoch", [60, 150])
@pytest.mark.parametrize("share", [0.62109375, 0.69, 0.79, 0.83, 0.89])
def test_a_moving_average_of_any_share_may_begin_anew_with_zero(share, epoch, early):
    relation = reported(training(0, 450, 0.0), Meter("zero", share), epoch=epoch, early=early)
    assert relation.broken is None


@pytest.mark.parametrize("size", [257, 273, 281, 299])
@pytest.mark.parametrize("every", [1, 10])
def test_a_window_longer_than_what_is_kept_drops_its_first_losses(size, every):
    for noise in (0.0, 0.01):
        relation = reported(training(341, 450, noise), Meter("window", size), every=every, early=True)
        assert relation.broken is None


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    meter=st.one_of(
        st.sampled_from(METERS),
        st.tuples(st.just("window"), st.integers(2, 300)),
        # One that keeps about a half and begins anew is what a gradient scaler makes of the last loss.
        st.tuples(st.sampled_from(["first", "corrected"]), st.floats(0.3, 0.999)),
        st.tuples(st.just("zero"), st.floats(0.3, 0.49) | st.floats(0.51, 0.999)),
    ),
    how=st.fixed_dictionaries({
        "every": st.sampled_from([1, 1, 2, 7, 10]),
        "scale": st.sampled_from([1.0, 4.0, 1 / 3, 8.0, 0.01]),
        "early": st.booleans(),
        "epoch": st.sampled_from([None, 23, 60, 150]),
    }),
    noise=st.sampled_from([0.0, 0.01, 0.3]),
    digits=st.sampled_from([None, None, 4, 3]),
)  # fmt: skip
def test_honest_reports_of_any_kind_are_never_alleged(seed, meter, how, noise, digits):
    def shown(_, value):
        return value if digits is None else round(value, digits)

    assert reported(training(seed, 450, noise), Meter(*meter), shown=shown, **how).broken is None


@settings(max_examples=10, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    meter=st.sampled_from(METERS),
    growth=st.sampled_from([50, 120, 200]),
    lost=st.sets(st.integers(0, 400), max_size=4),
)
def test_a_scaler_that_grows_and_losses_that_are_not_known_are_never_alleged(seed, meter, growth, lost):
    losses = training(seed, 450)
    witnessed = [None if step in lost else loss * 2.0 ** (10 + step // growth) for step, loss in enumerate(losses)]
    assert reported(losses, Meter(*meter), witnessed=witnessed).broken is None
    unscaled = [None if step in lost else loss for step, loss in enumerate(losses)]
    assert reported(losses, Meter(*meter), witnessed=unscaled, epoch=97).broken is None


@settings(max_examples=10, deadline=None)
@given(
    seed=st.integers(0, 10_000), one=st.sampled_from(METERS), other=st.sampled_from(METERS), at=st.integers(100, 300)
)
def test_a_program_that_reports_otherwise_from_a_step_on_is_not_alleged(seed, one, other, at):
    losses = training(seed, 450)
    known = Losses()
    relation = Relation(known)
    meter = Meter(*one)
    for step, loss in enumerate(losses):
        if step == at:
            meter = Meter(*other)
        meter.add(loss, 1)
        known.take(loss, 1)
        relation.take_loss(loss)
        relation.take_report(step, meter.value())
    assert relation.broken is None


@pytest.mark.parametrize("seed", range(6))
def test_numbers_of_any_kind_are_no_trouble(seed):
    random = Random(seed)
    odd = [0.0, -0.0, math.inf, -math.inf, math.nan, 1e-320, -1e-30, 1e308, -1e308, 1e12, 2.0**-1074, -1.0]
    known = Losses()
    relation = Relation(known)
    for step in range(150):
        is_calm = random.random() < 0.7
        loss = 1 + random.random() if is_calm else random.choice([*odd, None])
        known.take(loss if loss is None or math.isfinite(loss) else None, random.choice([0, 1, 2**63 - 1]))
        relation.take_loss(loss if loss is None or math.isfinite(loss) else None)
        relation.take_report(step, loss if is_calm and step < 100 else random.choice(odd))
    assert relation.reports == 150
