"""A capsule is a place to replay from, where the record has every update before it."""

from __future__ import annotations

import json

import pytest

from saksi.judgement.replay.capsules import capsules_within, made_until, saves_steps
from saksi.judgement.replay.stretches import CapsuleFile, Restart, Stretch, stretches_of
from saksi.words.records import CapsuleRecord
from simulated_run import SimulatedRun, hex64, update_fields

DIGEST = f"sha256:{'a' * 64}"


def capsule(run, step, path="/c", *, rank=0, digest=DIGEST, every=10):
    run.add(
        CapsuleRecord(
            **run.stamp(), connection=0, seq=0, rank=rank, path=path, step=step, root=hex64("r"), digest=digest, size=1,
            every=every,
            reason=None if digest else "it is gone",
        )
    )  # fmt: skip


def restart(step, path="/c", *, is_capsule=True):
    files = (CapsuleFile(rank=0, path=path, digest=DIGEST, size=1),)
    return Restart(step=step, path=path, digest=DIGEST, size=1, capsules=files if is_capsule else ())


def test_those_that_the_agent_read_are_places_to_begin_at():
    run = SimulatedRun()
    for step in (19, 9):
        capsule(run, step)
    capsule(run, 29, digest=None)
    capsule(run, 39, path=None, digest=None)
    assert capsules_within(run.items(), 0, {0}) == (restart(9), restart(19))
    assert capsules_within(run.items(), 1, {0}) == ()


def test_of_a_program_with_several_ranks_each_has_to_have_one():
    run = SimulatedRun()
    capsule(run, 9)
    for rank in (1, 0):
        capsule(run, 19, f"/{rank}", rank=rank)
    (found,) = capsules_within(run.items(), 0, {0, 1})
    assert (found.step, found.path) == (19, "/0")
    assert [(each.rank, each.path) for each in found.capsules] == [(0, "/0"), (1, "/1")]
    assert capsules_within(run.items(), 0, {0, 1, 2}) == ()


def test_those_that_a_budget_had_no_room_for_are_none_and_one_that_is_gone_otherwise_is():
    run = SimulatedRun()
    for step in (9, 19, 29):
        capsule(run, step, f"/there/is/none/{step}")
    capsule(run, 29, path=None, digest=None, every=20)
    assert [each.step for each in capsules_within(run.items(), 0, {0})] == [19]


def test_the_programs_own_model_checkpoint_goes_before_a_capsule_of_the_same_step():
    own = restart(9, "ckpt.pt", is_capsule=False)
    for given in ([own, restart(9), restart(19)], [restart(19), restart(9), own]):
        assert stretches_of(30, given) == (
            Stretch(first=0, behind=10),
            Stretch(first=10, behind=20, restart=own),
            Stretch(first=20, behind=30, restart=restart(19)),
        )
    assert [each.means for each in stretches_of(30, [own, restart(19)])] == ["start", "resume", "capsule"]


def run_with(*updates):
    """A run whose updates are given as optimizer and what differs in them."""
    run = SimulatedRun()
    one = run.attach(0)
    for optimizer, changes in updates:
        one.update(optimizer=optimizer, **changes)
    one.flush()
    return run


def test_the_recorder_is_told_of_every_update_until_the_capsule_in_order():
    run = run_with(
        (1, {"loss": "NaN"}), (0, {"skipped": True, "gradient_norm": None}), (1, {}), (0, {"loss": None}), (1, {})
    )  # fmt: skip
    order = json.loads(made_of(run, 1))
    assert [each[:4] for each in order["made"]] == [
        [1, "NaN", 1.5, False], [0, 4.0, None, True], [1, 2.0, 1.5, False], [0, None, 1.5, False]
    ]  # fmt: skip
    rng = update_fields(1)["rng"]
    assert (order["version"], order["forward"], order["generators"]) == (1, False, rng)
    assert order["made"][-1][4] == f"{rng['python'][:32]},,{rng['torch'][:32]}"
    assert len({each[4] for each in order["made"]}) == 4


def made_of(run, step):
    found = made_until(run.items(), 0, step, {0})
    return None if found is None else found[0]


def test_where_an_update_is_missing_or_a_second_process_trained_it_is_told_of_nothing():
    run = SimulatedRun()
    one = run.attach(0)
    one.update()
    one.drop_update()
    one.update()
    one.flush()
    assert made_of(run, 0) is not None
    assert made_of(run, 2) is None
    run = run_with((0, {}), (0, {}))
    two = run.attach(0, pid=7000)
    two.updates[0] = 2
    two.update()
    two.flush()
    assert made_of(run, 1) is not None
    assert made_of(run, 2) is None
    assert made_of(run, 7) is None


def test_each_rank_is_told_of_its_own_updates():
    run = SimulatedRun()
    for rank in range(2):
        one = run.attach(rank, world_size=2)
        one.update(loss=float(rank))
        one.update(loss=float(rank))
        one.flush()
    found = made_until(run.items(), 0, 0, {0, 1})
    made = {rank: [each[:4] for each in json.loads(order)["made"]] for rank, order in found.items()}
    assert made == {rank: [[0, float(rank), 1.5, False]] for rank in range(2)}
    assert made_until(run.items(), 0, 0, {0, 1, 2}) is None


@pytest.mark.parametrize("attempt", [1, 2])
def test_other_attempts_do_not_count(attempt):
    assert made_until(run_with((0, {})).items(), attempt, 0, {0}) is None


@pytest.mark.parametrize(
    ("firsts", "saves"), [((40,), True), ((10,), True), ((30, 40), True), ((10, 20, 30, 40), False), ((), False)]
)
def test_to_execute_models_on_the_way_has_to_take_less_than_a_replay_from_the_start(firsts, saves):
    stretches = [Stretch(first=first, behind=first + 10, restart=restart(first - 1)) for first in firsts]
    assert saves_steps(stretches) is saves


def test_the_recorder_is_told_whether_to_execute_models():
    run = run_with((0, {}), (0, {}))
    orders = [json.loads(made_until(run.items(), 0, 1, {0}, forward=forward)[0]) for forward in (False, True)]
    assert [each.pop("forward") for each in orders] == [False, True]
    assert orders[0] == orders[1]
