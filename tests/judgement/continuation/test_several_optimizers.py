"""Other optimizers than the first: their hyper-parameters are compared, and their batches belong to the next Step."""

import msgspec
import pytest

from judgement.continuation.seam import STEP, Pair, course, nothing, outcomes, part
from saksi.judgement.continuation.settings import MAX_OPTIMIZERS
from saksi.judgement.continuation.side import Side
from saksi.words.frames import UpdateFrame
from simulated_run import update_fields

FRAME = {"seq": 0, "prev": "0" * 64, "wall_ns": 0, "mono_ns": 0, "lost": 0, "kind": "update"}


def second_optimizer(rate=lambda step: 0.5 / (step + 1), **fields):
    """Steps beside optimizer 0, with a learning rate that follows the run."""

    def step(connection, step: int) -> None:
        connection.update(optimizer=1, groups=[{"lr": rate(step)}], batches=[], **fields)

    return step


def forgetful(place: str = "before", *, first=None, **pair) -> Pair:
    """In the second attempt the schedule of the other optimizer starts again."""
    found = Pair(**pair, **{place: first or second_optimizer()})
    setattr(found, place, second_optimizer(lambda step: 0.5 / (step - STEP)))
    return found


@pytest.mark.parametrize("place", ["before", "behind"])
def test_hyper_parameters_of_every_optimizer_are_compared(place):
    found = Pair(**{place: second_optimizer()}).resumed()
    assert found.continues is True
    assert part(found, "hyper_parameters").sentence.startswith("hyper-parameters go on (3 fields of 2 optimizers")


@pytest.mark.parametrize(("place", "rate"), [("before", "0.1"), ("behind", "0.125")])
def test_a_schedule_of_another_optimizer_that_starts_again_is_told(place, rate):
    found = forgetful(place, after=3).resumed()
    assert part(found, "hyper_parameters").sentence == (
        f"the learning rate (optimizers[1].groups[0].lr) starts again at 0.5; it had gone on to {rate}"
    )


def test_where_the_earlier_attempt_went_no_further_a_jump_of_another_optimizer_is_not_known():
    found = forgetful(after=0).resumed()
    assert outcomes(found)["hyper_parameters"] == "not_checkable"
    assert "optimizers[1].groups[0].lr" in part(found, "hyper_parameters").sentence


@pytest.mark.parametrize("sides", ["earlier", "later"])
def test_an_optimizer_that_one_attempt_lacks_is_not_known(sides):
    pair = Pair(before=second_optimizer() if sides == "earlier" else nothing)
    pair.before = second_optimizer() if sides == "later" else nothing
    found = pair.resumed()
    assert (found.continues, outcomes(found)["hyper_parameters"]) == (None, "not_checkable")
    assert "no update of optimizer 1 at the seam is in both records" in part(found, "hyper_parameters").sentence


def test_an_update_of_another_optimizer_that_was_not_heard_decides_nothing():
    def drops(connection, step: int) -> None:
        if step == STEP + 1:
            connection.drop_update(optimizer=1)
        else:
            second_optimizer()(connection, step)

    assert outcomes(forgetful(after=3, first=drops).resumed())["hyper_parameters"] == "not_checkable"


def test_groups_that_did_not_fit_a_packet_are_not_known():
    pair = Pair(before=second_optimizer())
    pair.before = second_optimizer(groups_omitted=1)
    found = pair.resumed()
    assert (found.continues, outcomes(found)["hyper_parameters"]) == (None, "not_checkable")


def test_more_optimizers_than_are_kept_are_said():
    def last(connection, step: int) -> None:
        connection.updates[MAX_OPTIMIZERS] = step % (STEP + 1)
        connection.update(optimizer=MAX_OPTIMIZERS, batches=[])

    found = Pair(before=last).resumed()
    assert part(found, "hyper_parameters").sentence.endswith("those of optimizers from number 1024 on")


def test_batches_that_another_optimizer_used_belong_to_the_step():
    def first_takes_them(connection, step: int) -> None:
        connection.update(optimizer=1, groups=[], batches=course(step)["batches"])

    def told(step: int) -> dict:
        return course(step, batches=[])

    assert outcomes(Pair(told=told, before=first_takes_them).resumed())["data_order"] == "same"
    pair = Pair(told=told, before=first_takes_them)
    pair.before = lambda connection, step: first_takes_them(connection, step - STEP - 1)
    found = pair.resumed()
    assert part(found, "data_order").sentence == "the data order starts again at the first batch"


@pytest.mark.parametrize(
    ("taken", "own", "latest"),
    [
        ((3, 0, 0), (2, 0, 0), 5),
        ((3, 9, 1), (2, 0, 0), 3),
        ((3, 0, 0), (4, 9, 2), 2),
        ((3, 9, 1), (4, 0, 0), 5),
        ((3, 9, 0), (2, 0, 0), 2),
        ((1030, 0, 0), (2, 0, 0), 1026),
    ],
)
def test_of_the_batches_of_several_optimizers_the_latest_are_those_behind_every_gap(taken, own, latest):
    def update(optimizer: int, counts: tuple[int, int, int]) -> UpdateFrame:
        count, omitted, behind = counts
        fields = update_fields(0) | {"batches": course(0)["batches"] * count, "batches_omitted": omitted}
        fields |= {"optimizer": optimizer, "update": 0, "batches_behind": behind}
        return msgspec.convert({**FRAME, **fields}, UpdateFrame)

    side = Side()
    assert side.gather(update(1, taken)) is None
    step = side.gather(update(0, own))
    assert len(step.latest) == latest
    assert len(step.batches) + step.batches_omitted == taken[0] + taken[1] + own[0] + own[1]
    assert len(side.gather(update(0, own)).latest) == (own[2] if own[1] else own[0])


def test_another_optimizer_behind_the_root_of_the_step_may_have_moved_the_state():
    pair = Pair(at="step", behind=second_optimizer())
    found = pair.resumed(root={"0/0/0": "other", "0/0/1": "other"})
    assert outcomes(found)["parameters"] == "not_checkable"
    assert "other optimizers went on before the save" in part(found, "parameters").sentence
