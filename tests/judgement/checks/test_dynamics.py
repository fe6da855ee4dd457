"""How training went, judged from records alone."""

from __future__ import annotations

import pytest

from saksi.judgement.checks import ALL
from saksi.judgement.checks.dynamics import DYNAMICS
from saksi.judgement.checks.judging import Judging
from saksi.judgement.verdict import exit_code, judge
from simulated_run import SimulatedRun, honest_run

MS = 1_000_000


def usual(step):
    """An update of honest training: its loss falls with noise, its norm varies, it takes some 10 ms."""
    noise = (step * 7919 % 101) / 101
    return {
        "loss": 0.5 + 3.0 / (1 + step / 50) + 0.1 * noise,
        "gradient_norm": {"value": 0.5 + noise, "max_norm": 1.0, "coefficient": 1.0},
        "phase_ns": {"data": MS, "compute": int((7 + 3 * noise) * MS), "optimizer": 2 * MS},
    }


def trained(changes, steps=400, ranks=1, optimizer=0):
    simulated = SimulatedRun()
    connections = [simulated.attach(rank, world_size=ranks) for rank in range(ranks)]
    for step in range(steps):
        for each in connections:
            each.update(optimizer=optimizer, **usual(step) | changes.get(step, {}))
            if step % 50 == 49:
                each.flush()
    for each in connections:
        each.goodbye()
    simulated.exit()
    return simulated


def judged(simulated):
    judging, news = Judging([DYNAMICS]), []
    for item in simulated.items():
        news += judging.take(item)
    return list(judging.findings(ended=True)), news


def norm(value):
    return {"gradient_norm": {"value": value, "max_norm": 1.0, "coefficient": 0.1}}


def took(milliseconds):
    return {"phase_ns": {"data": milliseconds * MS, "compute": 9 * MS, "optimizer": 2 * MS}}


@pytest.mark.parametrize("simulated", [honest_run(steps=300), trained({}), trained({}, ranks=2)])
def test_honest_training_has_nothing_to_tell(simulated):
    assert judged(simulated) == ([], [])


def test_a_loss_that_leaps_is_told_as_it_does_and_in_the_words_of_the_worst():
    (found,), news = judged(trained({100: {"loss": 40.0}, 200: {"loss": 90.0}}))
    assert (found.code, found.severity, found.alleges, found.subject) == (
        "dynamics.loss_jumped", "info", "unknown", "loss",
    )  # fmt: skip
    assert (found.first_step, found.last_step) == (100, 200)
    assert found.message.startswith("It is 90 at update 200, and the median of those just before is 1.2")
    assert "It was so 2 times." in found.message
    assert [each.first_step for each in news] == [100]


def test_a_norm_that_leaps_is_told_and_one_that_a_scaler_caught_is_not():
    (found,), _ = judged(trained({100: norm(500.0)}))
    assert (found.code, found.first_step) == ("dynamics.gradient_norm_jumped", 100)
    overflow = norm("Infinity") | {"skipped": True, "loss": "Infinity"}
    assert judged(trained({100: norm(500.0) | {"skipped": True}, 101: overflow}))[0] == []


def test_a_loss_that_is_no_number_is_told_from_its_first_step_on():
    (found,), news = judged(trained({step: {"loss": "NaN"} for step in range(150, 400)}))
    assert (found.code, found.first_step, found.last_step) == ("dynamics.not_finite", 150, 399)
    assert found.message.startswith("It is NaN at update 150.")
    assert len(news) == 1
    (found,), _ = judged(trained({7: norm("Infinity")}))
    assert (found.code, found.subject) == ("dynamics.not_finite", "gradient norm")


def test_stalls_at_odd_distances_are_told_and_those_of_an_evaluation_are_not():
    (found,), news = judged(trained({step: took(7_000) for step in (200, 231, 318)}))
    assert (found.code, found.first_step, found.last_step) == ("dynamics.stalled", 200, 318)
    assert found.message.startswith("Update 200 took 7.0 s, most of it in waiting for data. It was so 3 times.")
    assert len(news) == 1
    assert judged(trained({step: took(7_000) for step in range(150, 400, 50)})) == ([], [])


def test_a_single_stall_is_told_at_the_end():
    (found,), news = judged(trained({200: took(7_000)}))
    assert (found.code, found.first_step) == ("dynamics.stalled", 200)
    assert news == []


def test_a_stretch_that_is_slow_is_told_with_both_durations():
    (found,), _ = judged(trained({step: took(200) for step in range(250, 400)}))
    assert (found.code, found.subject) == ("dynamics.slowed", "duration")
    assert 200 < found.first_step < 320
    assert "what grew most is waiting for data" in found.message


def test_a_phase_that_is_slow_now_and_then_is_told_with_what_it_cost_and_on_whom():
    simulated = SimulatedRun()
    ranks = [simulated.attach(rank, world_size=3) for rank in range(3)]
    for step in range(100):
        for rank, each in enumerate(ranks):
            spent = {"data": 10 * MS, "compute": 40 * MS, "optimizer": 2 * MS}
            if step >= 30 and step % 6 == 0:
                spent["data" if rank == 1 else "compute"] += 400 * MS
            each.update(**usual(step) | {"phase_ns": spent})
    for each in ranks:
        each.goodbye()
    simulated.exit()
    by_subject = {each.subject: each for each in judged(simulated)[0]}
    assert {each.code for each in by_subject.values()} == {"dynamics.phase_slow"}
    assert {each.severity for each in by_subject.values()} == {"info"}
    data, compute = by_subject["data"], by_subject["compute"]
    assert (data.first_step, data.last_step, data.ranks, compute.ranks) == (30, 96, (1,), (0, 2))
    assert data.message.startswith(
        "Waiting for data took 0.01 s as a rule, and at least three times as long in 12 updates from 30 to 96: 4.8 s "
        "more in all. It was so on 1 of 3 ranks, and 2 others took longer in computing."
    )


def test_a_phase_that_is_slow_behind_a_model_checkpoint_or_at_even_distances_is_not_told():
    simulated = SimulatedRun()
    connection = simulated.attach()
    where = dict.fromkeys(("path", "digest", "size", "device", "inode", "mtime_ns"))
    for step in range(200):
        saved = step > 20 and step % 7 in {0, 3}
        if saved:
            connection.send("ckpt", action="saved", step=step, **where)
        connection.update(**usual(step) | took(600 if saved or step % 25 == 0 else 1))
    connection.goodbye()
    simulated.exit()
    assert judged(simulated) == ([], [])


def test_ranks_that_stall_together_are_one_finding():
    (found,), _ = judged(trained({step: took(9_000) for step in (200, 231, 318)}, ranks=2))
    assert (found.ranks, found.first_step) == ((0, 1), 200)


def test_updates_that_are_always_left_out_are_told():
    (found,), _ = judged(trained({step: {"skipped": True} for step in range(100, 400)}))
    assert (found.code, found.first_step) == ("dynamics.updates_left_out", 140)
    assert found.message.startswith("A gradient scaler left out more than 40 updates one after another, at update 140")


def test_another_optimizers_updates_have_no_step():
    (found,), _ = judged(trained({100: {"loss": 40.0}}, optimizer=1))
    assert (found.subject, found.first_step) == ("loss of optimizer 1", None)
    assert "at update 100" in found.message


def test_nothing_of_it_moves_a_verdict():
    odd = {100: {"loss": "NaN"}, 150: {"loss": 99.0}, 200: took(9_000)} | {
        s: {"skipped": True} for s in range(300, 399)
    }
    odd_report = judge(trained(odd).items(), run="0" * 16, checks=ALL).report
    report = judge(trained({}).items(), run="0" * 16, checks=ALL).report
    assert {each.severity for each in odd_report.items if each.check == "dynamics"} == {"info"}
    assert (odd_report.verdict, odd_report.coverage) == (report.verdict, report.coverage)
    assert exit_code(odd_report) == exit_code(report)


def test_more_optimizers_than_are_followed_cost_no_more():
    simulated = SimulatedRun()
    connection = simulated.attach()
    for step in range(40):
        for optimizer in range(20):
            loss = 99.0 if step == 39 else 1.0
            connection.update(optimizer=optimizer, loss=loss)
        connection.flush()
    connection.goodbye()
    simulated.exit()
    assert len(judged(simulated)[0]) == 8
