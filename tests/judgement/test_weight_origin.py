"""Whose weights are in a file: by bytes and names, of the state that has most in common with it."""

from __future__ import annotations

import pytest

from saksi.judgement.weight_origin import CommittedState, Weights
from saksi.words.tensors import FileTensor


def tensor(name, content, *, shape=(16,), tells=True, dtype="torch.float32"):
    return FileTensor(name, dtype, shape, content, tells)


def form(content, shape=(16,), dtype="torch.float32"):
    return dtype, shape, content


def state(step=3, at=None, *, more=(), run="a", attempt=0, rank=0):
    named = {name: frozenset({form(content)}) for name, content in (at or {}).items()}
    forms = frozenset().union(*named.values(), {form(each) for each in more})
    return CommittedState(run, attempt, rank, step, 10 + step, forms, named, parameters=len(named))


def origin(tensors, *states):
    weights = Weights(tensors)
    for each in states:
        weights.take(each)
    return weights.origin()


ALL = {"h.0.w": b"a", "h.1.w": b"b", "out": b"c"}
TENSORS = [tensor(name, content) for name, content in ALL.items()]


def test_a_state_with_all_of_it_is_found():
    found = origin(TENSORS, state(2, {**ALL, "out": b"x"}), state(3, ALL), state(4, {"h.0.w": b"y"}))
    assert (found.run, found.attempt, found.rank, found.step, found.last_step) == ("a", 0, 0, 3, 4)
    assert (found.tensors, found.same, found.others) == (3, 3, ())


@pytest.mark.parametrize("name", ["model.out", "module.model.out", "out"])
def test_a_file_may_have_a_name_of_its_own_for_the_model(name):
    assert origin([*TENSORS[:2], tensor(name, b"c")], state(3, ALL)).others == ()


def test_a_name_that_is_not_in_the_state_does_not_matter():
    assert origin([*TENSORS[:2], tensor("head.weight", b"c")], state(3, ALL)).others == ()


def test_weights_that_stand_under_each_others_names_are_others():
    swapped = [tensor("h.0.w", b"b"), tensor("h.1.w", b"a"), TENSORS[2], tensor("more", b"m"), tensor("most", b"n")]
    assert origin(swapped, state(3, ALL, more=[b"m", b"n"])).others == ("h.0.w", "h.1.w")


def test_what_is_another_tensor_is_named():
    found = origin([*TENSORS[:2], tensor("out", b"edited")], state(3, ALL))
    assert (found.same, found.tensors, found.others) == (2, 3, ("out",))


@pytest.mark.parametrize("other", [{"dtype": "torch.bfloat16"}, {"shape": (4, 4)}])
def test_type_and_shape_belong_to_a_tensor(other):
    assert origin([*TENSORS[:2], tensor("out", b"c", **other)], state(3, ALL)).others == ("out",)


def test_less_than_half_in_common_is_nothing_in_common():
    tensors = [TENSORS[0], tensor("x", b"1"), tensor("y", b"2")]
    assert origin(tensors, state(3, ALL)) is None
    assert origin(tensors) is None


def test_small_ones_and_those_of_one_value_decide_nothing_alone_and_are_compared_all_the_same():
    plain = tensor("bias", b"0", tells=False)
    assert not Weights([plain]).can_tell
    assert origin([plain], state(3, {"bias": b"0"})) is None
    assert origin([*TENSORS, plain], state(3, ALL)).others == ("bias",)


def test_of_states_that_are_alike_it_is_the_latest_of_the_rank_that_came_first():
    found = origin(TENSORS, state(3, ALL), state(3, ALL, rank=1), state(4, ALL), state(9, ALL, attempt=1))
    assert (found.attempt, found.rank, found.step, found.last_step) == (0, 0, 4, 4)


def test_more_names_than_are_shown_are_counted():
    tensors = [tensor(f"w{number}", b"%d" % number) for number in range(40)]
    kept = {each.name: each.digest for each in tensors[:25]}
    found = origin(tensors, state(3, kept))
    assert (len(found.others), found.others_omitted, found.same) == (8, 7, 25)
