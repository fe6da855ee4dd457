"""Models that one side held and the other did not are told apart from values that differ."""

import pytest

from saksi.judgement.replay.tensors import are_other_models, tensors_apart

BOTH = {"0.weight (0/0/0)": b"a", "0/0/0/exp_avg": b"b", "mean (buffer/0/mean)": b"c"}
AVERAGE = {"module.0.weight (beside/1/module.0.weight)": b"d"}


@pytest.mark.parametrize("more", [AVERAGE, {"count (buffer/1/count)": b"e"}])
def test_a_model_that_one_side_alone_held_is_another_model(more):
    assert are_other_models(BOTH | more, BOTH)
    assert are_other_models(BOTH, BOTH | more)


@pytest.mark.parametrize(
    "other",
    [
        BOTH,
        BOTH | {"mean (buffer/0/mean)": b"x"},
        BOTH | AVERAGE | {"0.weight (0/0/0)": b"x"},
        BOTH | {"2.weight (0/0/1)": b"x"},
        BOTH | {"0/0/1/exp_avg": b"x"},
    ],
)
def test_a_value_that_differs_or_a_parameter_that_is_trained_is_not(other):
    assert not are_other_models(BOTH, other)
    assert (tensors_apart(BOTH, other) == ()) == (other == BOTH)
