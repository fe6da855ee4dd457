"""Generators, hyper-parameters, data order and steps done twice: only what could not be so anyway differs."""

import pytest

from judgement.continuation.seam import CKPT, STEP, Pair, course, outcomes, part, say_root, state
from saksi.judgement.continuation.values import Continuation
from simulated_run import hex64

BARE = f"sha256:{'b' * 64}"


def test_a_generator_that_starts_again_is_named():
    found = Pair().resumed(rng={"torch": hex64("torch 0"), "python": hex64("never drawn from")})
    assert part(found, "generators").sentence == "generator states were not restored: torch (it starts again)"


def test_a_generator_that_nobody_draws_from_may_be_in_any_state():
    found = Pair().resumed(rng={"torch": hex64("torch 4"), "python": hex64("another process")})
    assert outcomes(found)["generators"] == "same"


def test_without_the_next_step_a_generator_that_starts_again_is_still_seen():
    found = Pair(after=0).resumed(rng={"torch": hex64("torch 0")})
    assert outcomes(found)["generators"] == "differs"


def test_without_the_next_step_a_generator_is_not_known():
    found = Pair(after=0).resumed()
    assert outcomes(found)["generators"] == "not_checkable"
    assert found.continues is None
    assert "generator states cannot be compared" in found.sentence


@pytest.mark.parametrize(("after", "outcome"), [(0, "not_checkable"), (2, "differs")])
def test_a_learning_rate_that_starts_at_its_warm_up_is_told(after, outcome):
    found = Pair(after=after).resumed(groups=[{"lr": 0.001, "betas": [0.9, 0.95]}])
    assert "the learning rate (groups[0].lr) starts again at 0.001" in part(found, "hyper_parameters").sentence
    assert outcomes(found)["hyper_parameters"] == outcome


@pytest.mark.parametrize(("after", "outcome"), [(0, "not_checkable"), (2, "differs")])
def test_a_jump_differs_where_the_earlier_attempt_made_none(after, outcome):
    assert outcomes(Pair(after=after).resumed())["hyper_parameters"] == "same"
    found = Pair(after=after).resumed(groups=[{"lr": 0.5, "betas": [0.9, 0.95]}])
    assert outcomes(found)["hyper_parameters"] == outcome
    said = "goes from 0.004 to 0.5" if after == 0 else "is 0.5, and was 0.005 at the same step"
    assert said in part(found, "hyper_parameters").sentence


def test_a_schedule_by_epochs_may_step_where_an_attempt_ended():
    def by_epochs(step: int) -> dict:
        return course(step, groups=[{"lr": 0.1 if step <= STEP else 0.01}])

    assert outcomes(Pair(told=by_epochs).resumed())["hyper_parameters"] == "same"
    assert outcomes(Pair(told=by_epochs, after=0).resumed())["hyper_parameters"] == "not_checkable"


def test_a_hyper_parameter_that_was_constant_is_named():
    found = Pair(after=0).resumed(groups=[{"lr": 0.005, "betas": [0.5, 0.95]}])
    assert "groups[0].betas goes from [0.9,0.95] to [0.5,0.95]" in part(found, "hyper_parameters").sentence


@pytest.mark.parametrize(("after", "outcome"), [(0, "not_checkable"), (2, "differs")])
def test_a_data_order_that_starts_again_is_told(after, outcome):
    found = Pair(after=after).resumed(batches=course(0)["batches"])
    assert part(found, "data_order").sentence.startswith("the data order starts again at the first batch")
    assert outcomes(found)["data_order"] == outcome


def test_a_batch_that_was_never_used_is_not_known_to_be_the_next():
    found = Pair(after=0).resumed()
    assert part(found, "data_order").sentence == (
        "the data order cannot be compared: its first batch had not been used before, "
        "and step 4 is not in the earlier record"
    )


@pytest.mark.parametrize(("first", "outcome"), [(0, "same"), (1, "differs")])
def test_epochs_that_repeated_their_order_say_which_batch_is_next(first, outcome):
    def two_at_a_time(step: int) -> dict:
        return course(step, batches=course(step % 2)["batches"])

    found = Pair(told=two_at_a_time, after=0).resumed(batches=course(first)["batches"])
    assert outcomes(found)["data_order"] == outcome


def test_batches_that_came_again_after_other_numbers_of_steps_follow_no_order():
    order = (0, 1, 1, 0)

    def shuffled(step: int) -> dict:
        return course(step, batches=course(order[step % 4])["batches"])

    assert outcomes(Pair(told=shuffled, after=0).resumed())["data_order"] == "not_checkable"


def test_a_batch_used_before_is_told_with_its_step():
    found = Pair().resumed(batches=course(2)["batches"])
    assert part(found, "data_order").sentence == "the data goes back: its first batch was used at step 2"


def test_batches_that_were_skipped_to_get_there_do_not_count():
    skipped = [batch for step in range(STEP + 2) for batch in course(step)["batches"]]
    assert outcomes(Pair().resumed(batches=skipped))["data_order"] == "same"


def test_the_second_step_decides_where_the_first_one_skipped_too_much():
    found = Pair().resumed(batches=course(0)["batches"], batches_omitted=70)
    assert outcomes(found)["data_order"] == "same"


def test_of_more_batches_than_a_record_holds_the_latest_tell_what_came_next():
    skipped = [batch for step in range(STEP + 2) for batch in course(step)["batches"]]
    told = outcomes(Pair().resumed(batches=skipped, batches_omitted=70, batches_behind=1))
    assert told["data_order"] == "same"
    again = Pair().resumed(batches=skipped[::-1], batches_omitted=70, batches_behind=1)
    assert part(again, "data_order").sentence == "the data order starts again at the first batch"


def test_batches_that_an_evaluation_had_before_the_step_are_none_that_it_used():
    def evaluating(step: int) -> dict:
        asked = [{**course(90 + n)["batches"][0], "loader": 1} for n in range(3)]
        return course(step, batches=[*(asked if step == STEP else []), *course(step)["batches"]])

    skipped = [batch for step in range(STEP + 2) for batch in course(step)["batches"]]
    found = Pair(told=evaluating).resumed(batches=skipped, batches_omitted=70, batches_behind=4)
    assert outcomes(found)["data_order"] == "same"


def test_without_a_loader_there_is_no_data_order_to_compare():
    def course_without(step):
        return course(step, batches=[])

    pair = Pair()
    for simulated_attempt in (0, 1):
        pair.run.resume()
        connection = pair.run.attach(pid=7000 + simulated_attempt)
        if simulated_attempt:
            pair.run.file(path="/bare.pt", digest=BARE, action="loaded", step=-1)
            say_root(connection, at="attach", step=-1, values=state())
            connection.update(**(course_without(STEP + 1) | {"update": 0}))
        else:
            for step in range(STEP + 1):
                connection.update(**course_without(step))
            say_root(connection, at="ckpt", step=STEP, values=state())
            connection.flush()
            pair.run.file(path="/bare.pt", digest=BARE, step=STEP)
            connection.update(**course_without(STEP + 1))
        connection.goodbye()
    found = pair.compared(pair.run)
    assert "data_order" not in outcomes(found)
    assert found.continues is True


def test_a_step_done_again_with_another_loss_is_named():
    found = Pair().resumed(loss=1.5)
    assert part(found, "repeated_steps").sentence == "step 4 was done again with another loss: 0.8 and 1.5"


@pytest.mark.parametrize(("steps", "said"), [(1, "1 step was"), (2, "2 steps were")])
def test_steps_whose_loss_and_norm_nobody_knows_are_not_the_same(steps, said):
    def silent(step: int) -> dict:
        return course(step, loss=None, gradient_norm=None)

    found = Pair(told=silent).resumed(steps=steps)
    repeated = part(found, "repeated_steps")
    assert (found.continues, repeated.outcome, repeated.of) == (None, "not_checkable", 0)
    assert repeated.sentence == f"{said} done again, but no loss and no gradient norm of them is in both records"


def test_values_that_one_record_lacks_are_not_counted():
    found = Pair().resumed(loss=None)
    assert part(found, "repeated_steps").sentence == (
        "2 steps were done again with the same loss (1 of them) and gradient norm"
    )
    found = Pair().resumed(loss=None, gradient_norm=None)
    assert (part(found, "repeated_steps").of, found.continues) == (1, True)


def test_another_batch_than_the_earlier_attempt_had_next_is_told():
    found = Pair().resumed(batches=course(99)["batches"])
    assert part(found, "data_order").sentence == "the data goes on with another batch than at step 4 before"


def test_batches_without_a_digest_have_no_order():
    def unread(step: int) -> dict:
        return course(step, batches=[course(step)["batches"][0] | {"digest": None}])

    assert outcomes(Pair(told=unread).resumed())["data_order"] == "not_checkable"


def heard(*updates: int) -> Continuation:
    """A second attempt of which only these Steps are in the record."""
    pair = Pair(after=3)
    pair.run.resume()
    connection = pair.run.attach(pid=7000)
    pair.run.file(path="/ckpt.pt", digest=CKPT, action="loaded", step=-1)
    say_root(connection, at="attach", step=-1, values=state())
    for update in updates:
        connection.update(**(course(STEP + 1 + update) | {"update": update}))
    connection.goodbye()
    return pair.compared(pair.run)


def test_a_first_step_that_was_not_heard_leaves_the_course_open():
    assert part(heard(1, 2), "generators").sentence == (
        "generators, schedule and data order cannot be compared: "
        "the first step of the attempt that continues is not in the record"
    )


def test_steps_are_paired_as_far_as_they_follow_each_other():
    assert [part(heard(*each), "repeated_steps").of for each in ((0, 1, 2), (0, 2))] == [3, 1]
