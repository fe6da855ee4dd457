"""What differs at the seam between two attempts is named; what cannot be known is said so."""

import pytest

from doors.cli.cli_home import OTHER, SealedRun
from judgement.continuation.seam import CKPT, KEYS, STEP, Pair, course, say_root, state
from saksi.judgement.continuation.compare import link_of
from saksi.judgement.continuation.values import Continuation
from saksi.judgement.story import StoryBuilder
from simulated_run import hex64

BARE = f"sha256:{'b' * 64}"


def part(found: Continuation, name: str):
    (one,) = [each for each in found.parts if each.name == name]
    return one


def outcomes(found: Continuation) -> dict:
    return {each.name: each.outcome for each in found.parts}


def test_an_attempt_that_restores_everything_continues():
    found = Pair().resumed()
    assert (found.continues, found.step, found.attempt_a, found.attempt_b) == (True, STEP, 0, 1)
    assert set(outcomes(found).values()) == {"same"}
    assert found.sentence == (
        "It continues step 3 of attempt 0 (sha256:aaaaaaaaaaaa); compared and the same: parameters, optimizer state, "
        "update counters, buffers, generators, hyper parameters, data order, repeated steps."
    )


def test_another_run_may_continue_too():
    pair, other = Pair(), SealedRun(OTHER)
    other._clock = pair.run._clock
    pair.second(other)
    found = pair.compared(other)
    assert (found.continues, found.attempt_b) == (True, 0)


def test_moments_that_differ_are_counted_and_named():
    changed = {key: "fresh" for key in KEYS if key.endswith("exp_avg")}
    found = Pair().resumed(root=state(**changed))
    assert found.continues is False
    moments = part(found, "optimizer_state")
    assert (moments.outcome, moments.differing, moments.of) == ("differs", 2, 2)
    assert moments.sentence == "the optimizer's moments were not restored: 2 of 2 tensors differ"
    assert moments.examples == ("0/0/0/exp_avg", "0/0/1/exp_avg")
    assert outcomes(found)["parameters"] == "same"


def test_state_that_is_not_there_is_missing():
    bare = {key: value for key, value in state().items() if key in ("0/0/0", "0/0/1", "buffer/0/norm.mean")}
    found = Pair().resumed(root=bare)
    assert part(found, "optimizer_state").sentence.endswith("2 of 2 tensors are missing")
    assert part(found, "update_counters").sentence.endswith("2 of 2 counters are missing")


def test_one_parameter_that_differs_is_named():
    found = Pair().resumed(root=state(**{"0/0/1": "other"}))
    assert part(found, "parameters").sentence == "the parameters were not restored: 1 of 2 tensors differ"
    assert part(found, "parameters").examples == ("layer1.weight",)


def test_buffers_that_a_forward_pass_may_have_moved_decide_nothing():
    found = Pair().resumed(root=state(**{"buffer/0/norm.mean": "moved"}))
    assert outcomes(found)["buffers"] == "not_checkable"
    assert found.continues is True


def test_without_digests_of_each_tensor_a_difference_has_no_place():
    found = Pair(leaves=False).resumed(root=state(**{"0/0/1": "other"}), leaves=False)
    assert outcomes(found)["parameters"] == "not_checkable"
    assert found.continues is None
    assert Pair(leaves=False).resumed(leaves=False).continues is True


def test_more_parameters_are_another_form():
    found = Pair().resumed(root=state(**{"0/0/2": "new"}))
    assert part(found, "parameters").sentence.endswith("form: 1 of 2 tensors are new or of another shape")


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


@pytest.mark.parametrize("after", [0, 2])
def test_a_learning_rate_that_starts_at_its_warm_up_is_told(after):
    found = Pair(after=after).resumed(groups=[{"lr": 0.001, "betas": [0.9, 0.95]}])
    assert part(found, "hyper_parameters").sentence.startswith("the learning rate (groups[0].lr) starts again at 0.001")


def test_a_schedule_that_goes_on_is_no_difference_and_a_jump_is():
    assert outcomes(Pair(after=0).resumed())["hyper_parameters"] == "same"
    found = Pair(after=0).resumed(groups=[{"lr": 0.5, "betas": [0.9, 0.95]}])
    assert "goes from 0.004 to 0.5" in part(found, "hyper_parameters").sentence


def test_a_hyper_parameter_that_was_constant_is_named():
    found = Pair(after=0).resumed(groups=[{"lr": 0.005, "betas": [0.5, 0.95]}])
    assert "groups[0].betas goes from [0.9,0.95] to [0.5,0.95]" in part(found, "hyper_parameters").sentence


@pytest.mark.parametrize("after", [0, 2])
def test_a_data_order_that_starts_again_is_told(after):
    found = Pair(after=after).resumed(batches=course(0)["batches"])
    assert part(found, "data_order").sentence == "the data order starts again at the first batch"
    assert outcomes(found)["data_order"] == "differs"


def test_a_batch_used_before_is_told_with_its_step():
    found = Pair().resumed(batches=course(2)["batches"])
    assert part(found, "data_order").sentence == "the data goes back: its first batch was used at step 2"


def test_data_read_in_order_may_have_ended_an_epoch():
    first = course(0)["batches"][0] | {"ids": [0, 1]}
    found = Pair(after=0).resumed(batches=[first])
    assert outcomes(found)["data_order"] == "not_checkable"


def test_batches_that_were_skipped_to_get_there_do_not_count():
    skipped = [batch for step in range(STEP + 2) for batch in course(step)["batches"]]
    assert outcomes(Pair().resumed(batches=skipped))["data_order"] == "same"


def test_the_second_step_decides_where_the_first_one_skipped_too_much():
    found = Pair().resumed(batches=course(0)["batches"], batches_omitted=70)
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


def test_every_rank_is_compared_and_the_worst_is_told():
    pair = Pair(ranks=2)
    pair.run.resume()
    connections = [pair.run.attach(rank, world_size=2, pid=7000 + rank) for rank in range(2)]
    pair.run.file(path="/ckpt.pt", digest=CKPT, action="loaded", step=-1)
    for connection in connections:
        values = state(**({"0/0/0": "other"} if connection.rank else {}))
        say_root(connection, at="attach", step=-1, values=values)
        connection.update(**(course(STEP + 1) | {"update": 0}))
        connection.goodbye()
    found = pair.compared(pair.run)
    assert (found.ranks, part(found, "parameters").rank) == ((0, 1), 1)
    assert "(rank 1)" in found.sentence


def test_ranks_that_both_have_are_compared_when_their_number_changes():
    found = Pair(ranks=2).resumed(ranks=1)
    assert (found.ranks, found.continues) == ((0,), True)


def test_without_a_root_the_state_is_not_known():
    pair = Pair()
    pair.run.resume()
    connection = pair.run.attach(pid=7000)
    pair.run.file(path="/ckpt.pt", digest=CKPT, action="loaded", step=-1)
    connection.update(**(course(STEP + 1) | {"update": 0}))
    connection.goodbye()
    found = pair.compared(pair.run)
    assert found.continues is None
    assert "there is no state root at the start" in part(found, "parameters").sentence


def test_a_load_in_the_middle_of_training_continues_nothing():
    pair = Pair()
    pair.run.resume()
    connection = pair.run.attach(pid=7000)
    connection.update()
    pair.run.file(path="/ckpt.pt", digest=CKPT, action="loaded", step=0)
    connection.goodbye()
    builder = StoryBuilder()
    for item in pair.run.items():
        builder.take(item)
    story = builder.build()
    assert link_of(story, story, run_a=pair.run.run, run_b=pair.run.run) is None
