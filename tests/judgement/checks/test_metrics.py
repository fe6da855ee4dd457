"""A loss that was reported to a tracker beside the losses that were witnessed, judged from records alone."""

from __future__ import annotations

import math
from random import Random

import pytest

from saksi.judgement.checks.judging import Judging
from saksi.judgement.checks.metrics import METRICS, is_training_loss
from saksi.judgement.verdict import exit_code, judge
from simulated_run import SimulatedRun

LOSSES = [(0.5 + 2 / (1 + step / 20)) * math.exp(Random(step).gauss(0, 0.2)) for step in range(120)]


def metric(step, *values, tracker="wandb", at=None, omitted=0):
    return {"tracker": tracker, "at": at, "step": step, "values": list(values), "omitted": omitted}


def trained(report, *, updates=120, ranks=1, witnessed=lambda step: LOSSES[step]):
    """Ranks that train, and say to a tracker what `report(step, rank)` gives behind each step."""
    simulated = SimulatedRun()
    connections = [simulated.attach(rank, world_size=ranks) for rank in range(ranks)]
    for step in range(updates):
        for rank, each in enumerate(connections):
            each.update(loss=witnessed(step))
            for name, value in report(step, rank):
                each.send("metric", **metric(step, (name, value)))
            if step % 20 == 19:
                each.flush()
    for each in connections:
        each.goodbye()
    simulated.exit()
    return simulated


def judged(simulated):
    judging, news = Judging([METRICS]), []
    for item in simulated.items():
        news += judging.take(item)
    return list(judging.findings(ended=True)), news


def test_honest_reports_have_nothing_to_tell():
    assert judged(trained(lambda step, _: [("train/loss", LOSSES[step]), ("lr", 0.1)])) == ([], [])
    assert judged(trained(lambda step, rank: [("loss", 4 * LOSSES[step])] if not rank else [], ranks=2)) == ([], [])


def test_a_run_without_a_tracker_has_nothing_to_tell():
    assert judged(trained(lambda *_: [])) == ([], [])


def test_a_loss_that_is_reported_smaller_from_a_step_on_is_told_as_it_happens():
    simulated = trained(lambda step, _: [("train/loss", LOSSES[step] * (0.9 if step >= 60 else 1.0))])
    (found,), news = judged(simulated)
    assert (found.code, found.severity, found.alleges) == ("metrics.loss_differs", "info", "unknown")
    assert (found.subject, found.first_step, found.last_step, found.ranks) == ("metric train/loss", 60, 119, (0,))
    assert found.message.startswith(
        "It was the loss that backward was called on in 59 reports up to step 59, and is 0.9 times that from the "
        "report behind step 60 on. The losses that were witnessed had a median of "
    )
    assert [each.first_step for each in news] == [60]
    assert exit_code(judge(simulated.items(), run=simulated.run).report) == 3  # it is held against nobody


def test_a_held_out_loss_and_other_metrics_are_not_looked_at():
    def report(step, _):
        shown = LOSSES[step] * (0.5001 if step >= 60 else 1.0)
        return [("val/loss", shown), ("train/accuracy", shown), ("test_loss", shown), ("eval.loss", shown)]

    assert judged(trained(report)) == ([], [])


@pytest.mark.parametrize(
    ("name", "expected"),
    [("loss", True), ("Train/Loss", True), ("train-loss", True), ("training_loss", True), ("epoch.train.loss", True),
     ("val/loss", False), ("loss/val", False), ("validation_loss", False), ("loss_scale", False), ("test.loss", False)],
)  # fmt: skip
def test_which_names_are_those_of_a_training_loss(name, expected):
    assert is_training_loss(name) is expected


def test_a_metric_that_cannot_be_compared_is_said_once_at_the_end_and_is_not_about_coverage():
    simulated = trained(lambda step, rank: [("loss", Random(1000 * rank + step).random())], ranks=2)
    (found,), _ = judged(simulated)
    assert (found.code, found.severity, found.ranks) == ("metrics.not_compared", "info", (0, 1))
    assert found.message.startswith("It is none of the known forms")
    assert "metrics.not_compared" not in judge(simulated.items(), run=simulated.run).report.coverage.not_checkable
    (found,), _ = judged(trained(lambda step, _: [("loss", LOSSES[step])] if step % 10 == 0 else []))
    assert found.message.startswith("It was reported 12 times, and it takes 28")


def test_reports_and_losses_that_come_late_are_put_beside_each_other_by_their_step():
    simulated = SimulatedRun()
    connection = simulated.attach()
    for step in range(100):
        connection.update(loss=None, deferred=["loss"])
        if step >= 3:
            known = dict.fromkeys(("gradient_norm", "skipped", "reason")) | {"groups": [], "fingerprints": []}
            connection.send("deferred", optimizer=0, update=step - 3, loss=LOSSES[step - 3], lacking=[], **known)
            value = LOSSES[step - 3] * (0.7 if step - 3 >= 50 else 1.0)
            connection.send("metric", **metric(step - 3, ("loss", value)))
    connection.goodbye()
    simulated.exit()
    (found,), _ = judged(simulated)
    assert (found.code, found.first_step) == ("metrics.loss_differs", 50)


def test_updates_that_are_missing_and_losses_that_are_no_numbers_are_not_held_against_reports():
    simulated = SimulatedRun()
    connection = simulated.attach()
    for step in range(120):
        if step % 40 == 35:
            connection.drop_update()
        else:
            connection.update(loss="NaN" if step % 40 == 20 else LOSSES[step])
        mean = sum(LOSSES[max(0, step - 9) : step + 1]) / min(10, step + 1)
        connection.send("metric", **metric(step, ("loss", LOSSES[step]), ("train/loss", mean)))
    connection.goodbye()
    simulated.exit()
    assert [each.code for each in judged(simulated)[0]] == []


def test_more_metrics_than_are_followed_are_left_alone():
    simulated = trained(lambda step, _: [(f"{number}/loss", LOSSES[step]) for number in range(12)], updates=60)
    assert judged(simulated) == ([], [])
