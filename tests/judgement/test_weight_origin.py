"""Whose weights are in a file: by bytes and names, of the state that has most in common with it."""

from __future__ import annotations

import pytest

from judgement.continuation.seam import say_root
from saksi.judgement.weight_origin import CommittedState, Weights, states_in
from saksi.words.tensors import FileTensor
from simulated_run import SimulatedRun


def tensor(name, content, *, shape=(16,), tells=True, dtype="torch.float32"):
    return FileTensor(name, dtype, shape, content, tells)


def form(content, shape=(16,), dtype="torch.float32"):
    return dtype, shape, content


def state(step=3, at=None, *, more=(), run="a", attempt=0, rank=0, at_ns=5):
    named = {name: frozenset(map(form, contents)) for name, contents in (at or {}).items()}
    forms = frozenset().union(*named.values(), {form(each) for each in more})
    return CommittedState(run, attempt, rank, step, 10 + step, at_ns, forms, named, len(named))


def origin(tensors, *states):
    weights = Weights(tensors)
    for each in states:
        weights.take(each)
    return weights.origin()


ALL = {"h.0.w": [b"a"], "h.1.w": [b"b"], "out": [b"c"]}
TENSORS = [tensor(name, content) for name, (content,) in ALL.items()]


def test_a_state_with_all_of_it_is_found():
    found = origin(TENSORS, state(2, {**ALL, "out": [b"x"]}), state(3, ALL), state(4, {"h.0.w": [b"y"]}))
    assert (found.run, found.attempt, found.rank, found.step, found.last_step) == ("a", 0, 0, 3, 4)
    assert (found.tensors, found.same, found.others) == (3, 3, ())


def renamed(**names):
    """The three tensors, each under another name."""
    return [each._replace(name=names.get(each.name.replace(".", "_"), each.name)) for each in TENSORS]


@pytest.mark.parametrize("prefix", ["", "model.", "module.model.", "_orig_mod.", "a.b.c."])
def test_a_file_may_have_a_name_of_its_own_before_all_of_them(prefix):
    found = origin([each._replace(name=prefix + each.name) for each in TENSORS], state(3, ALL))
    assert (found.same, found.renamed, found.is_whole) == (3, 0, True)


def test_a_part_of_a_model_may_be_without_its_prefix_though_another_part_has_such_names():
    kept = {"net.0.w": [b"a"], "net.1.w": [b"b"], "0.w": [b"x"], "1.w": [b"y"]}
    found = origin([tensor("0.w", b"a"), tensor("1.w", b"b")], state(3, kept))
    assert (found.same, found.is_whole) == (2, True)


@pytest.mark.parametrize("prefix", ["", "model."])
@pytest.mark.parametrize("kept", [ALL, {"net." + name: content for name, content in ALL.items()}])
def test_weights_that_stand_under_each_others_names_are_told(prefix, kept):
    tensors = renamed(h_0_w=f"{prefix}h.1.w", h_1_w=f"{prefix}h.0.w", out=f"{prefix}out")
    found = origin(tensors, state(3, kept))
    assert (found.same, found.renamed, found.others, found.is_whole) == (1, 2, (), False)


def test_what_has_no_name_in_the_state_is_told_too():
    found = origin([*TENSORS, tensor("exp_avg", b"m")], state(3, ALL, more=[b"m"]))
    assert (found.same, found.renamed, found.is_whole) == (3, 1, False)


def test_weights_that_are_tied_may_stand_under_both_names():
    tied = tensor("head", b"c")
    assert origin([*TENSORS, tied], state(3, ALL)).is_whole
    assert not origin([*TENSORS[:2], tied], state(3, ALL)).is_whole
    assert not origin([*TENSORS, tied], state(3, {**ALL, "head": [b"d"]})).is_whole


def test_names_that_several_models_have_tell_nothing():
    found = origin(TENSORS, state(3, {**ALL, "out": [b"c", b"d"]}))
    assert (found.same, found.ambiguous, found.is_whole) == (3, True, False)


def test_a_state_that_a_run_began_with_is_none_that_it_made():
    found = origin(TENSORS, state(-1, ALL))
    assert (found.same, found.step, found.is_whole) == (3, -1, False)


@pytest.mark.parametrize("order", [1, -1])
def test_a_run_that_made_the_weights_goes_before_those_that_began_with_them(order):
    states = [state(-1, ALL, run="b", at_ns=9), state(7, ALL, run="c", at_ns=5), state(8, ALL, run="a", at_ns=7)]
    assert origin(TENSORS, *states[::order]).run == "c"


def test_of_states_with_the_same_large_tensors_the_small_ones_decide():
    small = tensor("scale", b"1", tells=False)
    states = [state(9, {**ALL, "scale": [b"1"]}), state(19, {**ALL, "scale": [b"2"]})]
    found = origin([*TENSORS, small], *states)
    assert (found.step, found.last_step, found.is_whole) == (9, 19, True)


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
    assert origin([plain], state(3, {"bias": [b"0"]})) is None
    assert origin([*TENSORS, plain], state(3, ALL)).others == ("bias",)


def test_of_states_that_are_alike_it_is_the_latest_of_the_rank_that_came_first():
    found = origin(TENSORS, state(3, ALL), state(3, ALL, rank=1), state(4, ALL), state(9, ALL, attempt=1, at_ns=8))
    assert (found.attempt, found.rank, found.step, found.last_step) == (0, 0, 4, 4)


def test_more_names_than_are_shown_are_counted():
    tensors = [tensor(f"w{number}", b"%d" % number) for number in range(40)]
    kept = {each.name: [each.digest] for each in tensors[:25]}
    found = origin(tensors, state(3, kept))
    assert (len(found.others), found.others_omitted, found.same) == (8, 7, 25)


def test_an_average_beside_what_is_trained_is_a_state_of_its_own_with_its_own_buffers():
    run = SimulatedRun()
    connection = run.attach()
    keys = ["0/0/0", "0/0/0/exp_avg", "buffer/0/mean", "buffer/1/n_averaged", "beside/1/module.layer.0"]
    say_root(connection, at="ckpt", step=3, values={key: f"value of {key}" for key in keys})
    connection.flush()
    trained, average = states_in(run.items(), "a")
    assert (trained.beside, trained.parameters, set(trained.at)) == (False, 1, {"layer0.weight", "mean"})
    assert (average.beside, average.parameters, set(average.at)) == (True, 1, {"layer0.weight", "n_averaged"})
    assert (trained.step, average.step) == (3, 3)


def test_an_average_that_was_exported_is_found_as_one():
    average = state(3, {name: [content[0] + b"x"] for name, content in ALL.items()})._replace(beside=True)
    tensors = [each._replace(digest=each.digest + b"x") for each in TENSORS]
    assert (origin(tensors, state(3, ALL), average).beside, origin(tensors, average).is_whole) == (True, True)
    assert not origin(TENSORS, state(3, ALL), average).beside
