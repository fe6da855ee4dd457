"""Models that one side held and the other did not are told apart from values that differ."""

import pytest

from saksi.judgement.replay.tensors import Leaf, are_other_models, named_apart

BOTH = {"0/0/0": ("1.weight", "w"), "0/0/0/exp_avg": (None, "m"), "buffer/0/1.running_mean": ("1.running_mean", "r")}
AVERAGE = {"beside/1/module.1.weight": ("module.1.weight", "a"), "buffer/1/n_averaged": ("n_averaged", "n")}
DUMMY = {"buffer/2/count": ("count", "0")}


def roots(state, at="step"):
    return {at: {key: Leaf(alias, value.encode()) for key, (alias, value) in state.items()}}


def renumbered(state, number):
    return {f"{key.split('/')[0]}/{number}/{key.split('/', 2)[2]}": value for key, value in state.items()}


@pytest.mark.parametrize("more", [AVERAGE, DUMMY, AVERAGE | DUMMY])
def test_a_model_that_one_side_alone_held_is_another_model(more):
    assert are_other_models(roots(BOTH | more), roots(BOTH))
    assert are_other_models(roots(BOTH), roots(BOTH | more))


def test_models_may_have_other_numbers():
    shifted = renumbered(DUMMY, 1) | renumbered(AVERAGE, 2)
    assert are_other_models(roots(BOTH | shifted), roots(BOTH | AVERAGE))
    edited = shifted | {"beside/2/module.1.weight": ("module.1.weight", "edited")}
    assert not are_other_models(roots(BOTH | edited), roots(BOTH | AVERAGE))


@pytest.mark.parametrize(
    "other",
    [
        BOTH,
        BOTH | {"buffer/0/1.running_mean": ("1.running_mean", "x")},
        {key: value for key, value in BOTH.items() if not key.startswith("buffer")},
        BOTH | AVERAGE | {"0/0/0": ("1.weight", "x")},
        BOTH | {"0/0/1": ("buffer/evil", "x")},
        BOTH | {"0/0/1/exp_avg": (None, "x")},
    ],
    ids=["equal", "a buffer", "buffers of what is trained", "a weight beside another model", "a parameter", "state"],
)
def test_a_value_that_differs_or_what_is_trained_is_none(other):
    assert not are_other_models(roots(BOTH), roots(other))


def test_every_root_behind_the_step_has_to_be_so():
    saved = roots(BOTH, "ckpt")
    edited = roots(BOTH | {"0/0/0": ("1.weight", "edited")}, "ckpt")
    assert are_other_models(roots(BOTH | DUMMY) | saved, roots(BOTH) | saved)
    assert are_other_models(roots(BOTH) | roots(BOTH | DUMMY, "ckpt"), roots(BOTH) | saved)
    assert not are_other_models(roots(BOTH | DUMMY) | edited, roots(BOTH) | saved)
    assert not are_other_models(roots(BOTH | DUMMY) | {"ckpt": {}}, roots(BOTH) | saved)


def test_tensors_are_named_as_their_model_names_them_parameters_first():
    other = BOTH | {"0/0/0/exp_avg": (None, "x"), "0/0/0": ("1.weight", "x")} | DUMMY
    assert named_apart(roots(BOTH), roots(other)) == ("1.weight (0/0/0)", "count (buffer/2/count)", "0/0/0/exp_avg")
    assert named_apart(roots(BOTH), roots(other), optimized=True) == ("1.weight (0/0/0)", "0/0/0/exp_avg")
    assert named_apart(roots(BOTH), roots(BOTH, "ckpt")) == named_apart({}, {}) == ()
