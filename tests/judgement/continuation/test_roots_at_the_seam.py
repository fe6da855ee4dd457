"""Of several roots after one Step the one of the save counts; state that no root holds is not known."""

import pytest

from judgement.continuation.seam import KEYS, STEP, Pair, outcomes, part, say_root, state

BUFFERS = {key: value for key, value in state().items() if key.startswith("buffer/")}
COUNTERS = {key: value for key, value in state().items() if key.endswith("/step")}
SWAPPED = state(**{key: "average" for key in KEYS if key.count("/") == 2})


def later_root(at: str, values: dict):
    return lambda connection, _: say_root(connection, at=at, step=STEP, values=values)


@pytest.mark.parametrize("at", ["released", "exit"])
@pytest.mark.parametrize("values", [BUFFERS, SWAPPED])
def test_what_the_program_held_at_its_end_does_not_replace_what_it_saved(at, values):
    found = Pair(after=0, ending=later_root(at, values)).resumed()
    assert (outcomes(found)["parameters"], outcomes(found)["optimizer_state"]) == ("same", "same")


def test_the_root_of_the_step_stands_in_for_that_of_the_save():
    found = Pair(at="step", after=0, ending=later_root("exit", SWAPPED)).resumed()
    assert outcomes(found)["parameters"] == "same"
    assert outcomes(Pair(at="step", after=0).resumed(root=SWAPPED))["parameters"] == "differs"


@pytest.mark.parametrize("at", ["released", "exit"])
def test_the_root_of_the_end_alone_can_say_same_and_never_differs(at):
    assert outcomes(Pair(at=at, after=0).resumed())["parameters"] == "same"
    found = Pair(at=at, after=0).resumed(root=SWAPPED)
    assert part(found, "parameters").sentence == (
        "the parameters cannot be compared: 2 of 2 tensors differ from the only state root after step 3, "
        "which was taken as the program ended"
    )
    assert "differs" not in outcomes(found).values()


def test_moments_missing_beside_the_root_of_the_end_are_not_known():
    bare = {key: value for key, value in state().items() if key.count("/") < 3}
    found = Pair(at="exit", after=0).resumed(root=bare)
    assert outcomes(found)["optimizer_state"] == "not_checkable"


def test_buffers_alone_are_no_state_of_a_save():
    found = Pair(at="", after=0, ending=later_root("exit", BUFFERS)).resumed()
    assert part(found, "parameters").sentence.endswith("there is no state root after step 3")


def test_a_model_released_before_training_is_not_what_an_attempt_began_with():
    pair = Pair()
    pair.before = lambda connection, step: (
        say_root(connection, at="released", step=-1, values=BUFFERS) if step == STEP + 1 else None
    )
    assert pair.resumed().continues is True


def test_a_layout_that_is_said_again_is_the_same_layout():
    found = Pair(after=0, ending=later_root("exit", state())).resumed(root=state(**{"0/0/1": "other"}))
    assert part(found, "parameters").sentence == "the parameters were not restored: 1 of 2 tensors differ"


def test_parameters_that_neither_record_holds_are_not_known():
    found = Pair(root=COUNTERS).resumed(root=COUNTERS)
    assert (found.continues, outcomes(found)["update_counters"]) == (None, "same")
    assert part(found, "parameters").outcome == "not_checkable"
    assert found.sentence == (
        "It loaded the model checkpoint of step 3 of attempt 0 (sha256:aaaaaaaaaaaa), and nothing that was compared "
        "differs, but the parameters cannot be compared: they are in neither record."
    )


@pytest.mark.parametrize(("one", "other"), [(COUNTERS, state()), (state(), COUNTERS)])
def test_state_that_one_record_could_not_hold_is_not_missing(one, other):
    found = Pair(root=one).resumed(root=other)
    assert (outcomes(found)["parameters"], outcomes(found)["optimizer_state"]) == ("not_checkable", "not_checkable")
    assert outcomes(found)["update_counters"] == "same"
    assert "the record of one attempt has none" in part(found, "parameters").sentence


def test_the_part_that_leaves_it_open_is_the_one_that_is_told():
    moved = state(**{"buffer/0/norm.mean": "moved"})
    found = Pair(after=0).resumed(root=moved)
    assert found.continues is None
    assert "but generator states cannot be compared" in found.sentence
