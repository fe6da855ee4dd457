"""What a record has of the gradients of one Step, and when that is too little to work its update out again."""

from __future__ import annotations

import pytest

from judgement.checks.test_shadow_update import COUNTS, LAYOUT, layout, sample
from saksi.judgement.replay.gradients import gradients_at
from simulated_run import SimulatedRun

KEY = "5b" * 32
GRADIENT = [0.25 * (at + 1) for at in range(sum(COUNTS))]


def recorded(*, steps=4, ranks=1, samples=None, fields=None, of_layout=None, others=(), again=False):
    """A record in which every Step has the same samples; `samples` and `fields` change those of Step 2."""
    run = SimulatedRun()
    for rank in [*range(ranks), *([0] if again else [])]:
        connection = run.attach(rank, world_size=ranks, pid=run.tick())
        for lines in of_layout or [{"key": KEY}]:
            connection.send("sampled", **layout(**lines))
        for step in range(steps):
            made = sample(step, **((samples or {}) if step == 2 else {}))
            if made.get("before") is not None:
                connection.send("sample", **made)
            connection.update(**{"update": step, **((fields or {}) if step == 2 else {})})
            for other in others:
                connection.update(optimizer=other, update=step)
        connection.goodbye()
    return run.items()


def test_every_tensor_has_the_elements_that_the_optimizer_read():
    found = gradients_at(recorded(ranks=2), 0, 2)
    assert sorted(found) == [0, 1]
    assert found[0].tensors == {(LAYOUT, 0, 0): tuple(GRADIENT[:3]), (LAYOUT, 0, 1): tuple(GRADIENT[3:])}
    assert found[0].names == {(LAYOUT, 0, 0): "a.weight", (LAYOUT, 0, 1): "a.bias"}
    assert (found[0].loss, found[0].norm, found[0].max_norm) == (4.0 / 3, 1.5, 1.0)
    assert (found[0].key, found[0].lacking, found[0].elements) == (KEY, None, 5)
    assert found[0].dtypes == {"torch.float32"}
    assert found[0].size == pytest.approx(sum(each * each for each in GRADIENT) ** 0.5)


def test_without_a_key_of_the_attempt_it_is_the_process_own():
    (found,) = gradients_at(recorded(of_layout=[{}]), 0, 2).values()
    assert len(found.key) == 64
    assert found.key != KEY


def test_a_tensor_without_a_gradient_is_left_out():
    (found,) = gradients_at(recorded(samples={"idle": [1]}), 0, 2).values()
    assert list(found.tensors) == list(found.names) == [(LAYOUT, 0, 0)]
    (found,) = gradients_at(recorded(samples={"idle": [0, 1]}), 0, 2).values()
    assert (found.tensors, found.lacking) == ({}, "no tensor has a gradient that is read")


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"samples": {"before": None}}, "the record has no samples of it"),
        ({"fields": {"skipped": True}}, "the update was left out"),
        ({"fields": {"deferred": ["loss"]}}, "a device did not deliver all of it"),
        ({"others": (1,)}, "the program has several optimizers"),
        (
            {"of_layout": [{"left_out": {"tensors of torch.complex64": 2}}]},
            "tensors of torch.complex64 give no samples",
        ),
        ({"of_layout": [{"rule": "lab.Own"}]}, "there is no rule for lab.Own with torch.float32"),
        ({"of_layout": [{"layout": "cd" * 16}]}, "the layout of its samples was not heard"),
        ({"samples": {"before": {"parameter": "AAAA", "gradient": "AAAA"}}}, "samples do not fit their layout: "),
    ],
)
def test_what_is_lacking_is_said(changes, why):
    (found,) = gradients_at(recorded(**changes), 0, 2).values()
    assert found.lacking.startswith(why)


def test_tensors_of_one_name_are_two():
    twins = {"key": KEY, "tensors": [[0, 0, "0.weight", 100, 3], [0, 4, "0.weight", 100, 2]]}
    (found,) = gradients_at(recorded(of_layout=[twins]), 0, 2).values()
    assert found.tensors == {(LAYOUT, 0, 0): tuple(GRADIENT[:3]), (LAYOUT, 0, 4): tuple(GRADIENT[3:])}


def test_another_optimizer_that_steps_behind_the_first_step_is_another_all_the_same():
    (found,) = gradients_at(recorded(others=(1,)), 0, 0).values()
    assert found.lacking == "the program has several optimizers"


def test_another_attempt_and_a_second_training_of_a_rank_have_no_part_in_it():
    items = list(recorded(again=True))
    assert list(gradients_at(items, 0, 2)) == [0]
    assert gradients_at(items, 1, 2) == {}
    assert gradients_at(items, 0, 9) == {}
