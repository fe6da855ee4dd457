"""What differs at the seam between two attempts is named; what cannot be known is said so."""

import pytest

from doors.cli.cli_home import OTHER, SealedRun
from judgement.continuation.seam import CKPT, KEYS, STEP, Pair, course, outcomes, part, say_root, state
from saksi.judgement.continuation.compare import link_of
from saksi.judgement.story import StoryBuilder

BARE = f"sha256:{'b' * 64}"


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


AVERAGED = {"beside/1/module.w": "average"}


def test_averages_that_were_restored_are_the_same():
    found = Pair(root=state(**AVERAGED)).resumed(root=state(**AVERAGED))
    assert (found.continues, outcomes(found)["averages"]) == (True, "same")


@pytest.mark.parametrize(
    ("later", "said"),
    [({"beside/1/module.w": "begun anew"}, "1 of 1"), ({}, "1 of 1"), (AVERAGED | {"beside/2/w": "x"}, "1 of 2")],
)
def test_averages_that_differ_are_told_and_decide_nothing(later, said):
    found = Pair(root=state(**AVERAGED)).resumed(root=state(**later))
    assert (found.continues, outcomes(found)["averages"]) == (True, "not_checkable")
    assert f"cannot be compared: {said} tensors differ, which is so of a copy that is made anew" in (
        part(found, "averages").sentence
    )


def test_without_digests_of_each_tensor_a_difference_has_no_place():
    found = Pair(leaves=False).resumed(root=state(**{"0/0/1": "other"}), leaves=False)
    assert outcomes(found)["parameters"] == "not_checkable"
    assert found.continues is None
    assert Pair(leaves=False).resumed(leaves=False).continues is True


def test_more_parameters_are_another_form():
    found = Pair().resumed(root=state(**{"0/0/2": "new"}))
    assert part(found, "parameters").sentence.endswith("form: 1 of 2 tensors are new or of another shape")


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


@pytest.mark.parametrize(("before", "after", "lacks"), [(2, 1, "later"), (1, 2, "earlier")])
def test_a_rank_of_one_attempt_only_is_not_known(before, after, lacks):
    found = Pair(ranks=before).resumed(ranks=after)
    assert (found.ranks, found.continues) == ((0,), None)
    assert found.sentence == (
        "It loaded the model checkpoint of step 3 of attempt 0 (sha256:aaaaaaaaaaaa), and nothing that was compared "
        f"differs, but rank 1 cannot be compared: no such rank is in the record of the {lacks} attempt."
    )


def test_ranks_that_both_have_are_compared_when_their_number_changes():
    other = state(**{"0/0/0": "other"})
    assert Pair(ranks=16).resumed(ranks=2, root=other).continues is False
    found = Pair(ranks=16).resumed(ranks=2)
    assert found.ranks == (0, 1)
    assert "ranks 2, 3, 4, 5, 6, 7, 8, 9, … cannot be compared" in found.sentence


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


def test_attempts_that_share_no_rank_share_nothing():
    pair = Pair()
    pair.run.resume()
    connection = pair.run.attach(1, world_size=2, pid=7000)
    pair.run.file(path="/ckpt.pt", digest=CKPT, action="loaded", step=-1)
    connection.update(**(course(STEP + 1) | {"update": 0}))
    connection.goodbye()
    found = pair.compared(pair.run)
    assert (found.continues, found.ranks) == (None, ())
    assert found.sentence.endswith("the records share no rank, so nothing could be compared.")
