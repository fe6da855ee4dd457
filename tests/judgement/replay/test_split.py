"""One Step up to rounding: the record beside replays, within what they differ by, where a changed label would show."""

from __future__ import annotations

import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from saksi.judgement.replay.gradients import StepGradients
from saksi.judgement.replay.split import MARGIN, Replays, Unsplit, key_of, not_recomputed, split_of, too_far
from saksi.words.findings import Finding

SIZES = {"head": 1.0, "body": 1e-3}
ROUNDING = 2.0**-24
HEAD, BODY = ("l", 0, 0), ("l", 0, 1)
NAMES = {HEAD: "head", BODY: "body"}


def seen(*, head=0.0, body=0.0, dtype="torch.float32", **changes):
    """Gradients of two tensors, of which so much was added to one element each."""
    tensors = {HEAD: (SIZES["head"] + head, -SIZES["head"], 0.0), BODY: (SIZES["body"] + body, SIZES["body"])}
    made = StepGradients(
        loss=2.5, norm=1.5, max_norm=1.0, tensors=tensors, names=NAMES, dtypes=frozenset({dtype}), key="ab",
        lacking=None,
    )  # fmt: skip
    return msgspec.structs.replace(made, **changes)


NOISE = 1e-6
BASE = {0: seen()}
OTHERS = ({0: seen(head=NOISE)}, {0: seen(head=-NOISE / 2, body=NOISE * 1e-3)})
PLANTED = {0: seen(head=0.03)}
REPLAYS = Replays(BASE, OTHERS, PLANTED)
APART = 1.5 * NOISE
"""Of the first tensor, the two replays that are furthest from each other."""


def test_a_record_as_near_as_replays_are_to_each_other_is_within_what_is_allowed():
    found = split_of(7, {0: seen(head=APART)}, REPLAYS)
    assert (found.step, found.elements, found.furthest) == (7, 5, "the gradient of head")
    assert found.slack == pytest.approx(1 / MARGIN)
    assert found.planted == pytest.approx(0.03 / (MARGIN * APART))
    assert found.noise == pytest.approx(APART / math.sqrt(2.0), rel=1e-3)
    assert too_far(found) is None


def test_a_record_that_is_further_is_told_with_the_tensor_and_by_how_much():
    found = split_of(7, {0: seen(body=1e-5)}, REPLAYS)
    assert found.slack > 1.0
    said = too_far(found)
    assert said.startswith("step 7: the gradient of body is ")
    assert said.endswith(f"{found.slack:,.3g} times as far from the replay as rounding explains here")


@given(st.floats(0.0, 1.0), st.sampled_from(["head", "body"]))
def test_whatever_stays_below_the_bound_is_allowed_and_nothing_beyond_it(share, name):
    """Either tensor has a bound: what replays of it differ by, and no less than the noise of all beside its size."""
    noise = APART / math.hypot(1.0, 1.0, 1e-3, 1e-3)
    size = math.hypot(SIZES[name], SIZES[name])
    bound = MARGIN * max(APART if name == "head" else NOISE * 1e-3, noise * size)
    assert too_far(split_of(0, {0: seen(**{name: 0.98 * share * bound})}, REPLAYS)) is None
    assert too_far(split_of(0, {0: seen(**{name: (1.02 + share) * bound})}, REPLAYS)) is not None


def test_equal_replays_still_allow_what_rounding_is_in_that_precision():
    """Another machine may round where the replays here happen not to."""
    equal = Replays(BASE, (BASE, BASE), PLANTED)
    assert split_of(0, {0: seen(head=ROUNDING)}, equal).slack == pytest.approx(1 / (MARGIN * math.sqrt(2.0)), rel=1e-3)
    coarse = {0: seen(dtype="torch.bfloat16")}
    replays = Replays(coarse, (coarse, coarse), {0: seen(head=1.0, dtype="torch.bfloat16")})
    assert split_of(0, coarse, replays).noise == 2.0**-9


def test_a_bound_that_one_changed_label_stays_below_is_none():
    for planted in (BASE, {0: seen(head=APART)}):
        with pytest.raises(Unsplit, match="one changed label does not show"):
            split_of(0, BASE, Replays(BASE, OTHERS, planted))


def test_a_gradient_that_is_zero_in_every_replay_has_to_be_zero():
    def zero(value=0.0):
        return {0: seen(tensors={HEAD: (1.0,), BODY: (value, 0.0)})}

    planted = {0: seen(tensors={HEAD: (2.0,), BODY: (0.0, 0.0)})}
    replays = Replays(zero(), (zero(), zero()), planted)
    assert split_of(0, zero(), replays).slack == 0.0
    found = split_of(0, zero(1e-30), replays)
    assert (found.slack, found.furthest) == (None, "the gradient of body")
    assert too_far(found) == (
        "step 0: the gradient of body is another than in the replay, and rounding explains none of that"
    )


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_to_what_is_no_finite_number_nothing_is_near(value):
    odd = {0: seen(tensors={HEAD: (value,), BODY: (1e-3, 1e-3)})}
    for replays in (Replays(odd, OTHERS, PLANTED), Replays(BASE, (BASE, odd), PLANTED), Replays(BASE, OTHERS, odd)):
        with pytest.raises(Unsplit, match="its loss or its gradient is no finite number in a replay"):
            split_of(0, BASE, replays)
    with pytest.raises(Unsplit, match="its loss or its gradient is no finite number in a replay"):
        split_of(0, {0: seen(loss=77.0)}, Replays(BASE, (BASE, {0: seen(loss="NaN")}), PLANTED))
    found = split_of(0, {0: seen(body=value)}, REPLAYS)
    assert (found.slack, found.furthest) == (None, "the gradient of body")


@pytest.mark.parametrize(
    ("change", "where"),
    [({"loss": 2.6}, "the loss"), ({"norm": 1.6}, "the gradient norm"), ({"loss": "NaN"}, "the loss")],
)
def test_loss_and_norm_are_held_against_it_too(change, where):
    found = split_of(0, {0: seen(**change)}, REPLAYS)
    assert found.furthest == where
    assert too_far(found) is not None


@pytest.mark.parametrize(
    "change",
    [
        {"tensors": {HEAD: (1.0, -1.0, 0.0)}},
        {"tensors": {("m", 0, 0): (1.0, -1.0, 0.0), BODY: (1e-3, 1e-3)}},
        {"max_norm": 2.0},
        {"loss": None},
    ],
)
def test_what_is_of_other_tensors_or_clipped_otherwise_is_not_compared(change):
    with pytest.raises(Unsplit, match=r"others in a replay|is not in all of them"):
        split_of(0, {0: seen(**change)}, REPLAYS)


def test_each_rank_is_held_against_its_own_replay():
    two = Replays({0: seen(), 1: seen(loss=9.0)}, tuple({0: each[0], 1: seen(loss=9.0)} for each in OTHERS),
                  {0: seen(head=0.03), 1: seen(loss=9.0)})  # fmt: skip
    assert too_far(split_of(0, {0: seen(), 1: seen(loss=9.0)}, two)) is None
    found = split_of(0, {0: seen(), 1: seen(loss=9.0, body=1e-4)}, two)
    assert (found.elements, found.furthest) == (10, "the gradient of body")
    with pytest.raises(Unsplit, match="a replay did not make it as rank 1"):
        split_of(0, {0: seen(), 1: seen()}, REPLAYS)


def test_a_label_has_to_show_in_a_gradient():
    with pytest.raises(Unsplit, match="one changed label does not show"):
        split_of(0, BASE, Replays(BASE, OTHERS, {0: seen(loss=99.0, norm=99.0)}))


def test_a_replay_that_drew_other_elements_says_nothing():
    other = {0: seen(key="cd")}
    for replays in (Replays(other, OTHERS, PLANTED), Replays(BASE, (other,), PLANTED), Replays(BASE, OTHERS, other)):
        with pytest.raises(Unsplit, match="a replay drew other elements"):
            split_of(0, BASE, replays)


def test_tensors_of_one_name_are_both_compared():
    """Two modules in one optimizer may each have a `0.weight`."""

    def twins(first=1.0, second=1.0):
        names = {HEAD: "0.weight", BODY: "0.weight"}
        return {0: seen(tensors={HEAD: (first,), BODY: (second,)}, names=names)}

    replays = Replays(twins(), (twins(),), twins(second=2.0))
    assert split_of(0, twins(first=1.5), replays).furthest == "the gradient of 0.weight"
    assert split_of(0, twins(second=1.5), replays).furthest == "the gradient of 0.weight (0/1)"


def test_the_key_is_the_one_that_all_ranks_drew_with():
    assert key_of({0: seen(), 1: seen()}) == "ab"
    for record, said in (
        ({}, "the record does not have it"),
        ({0: seen(), 1: seen(key="cd")}, "each rank drew its samples with a key of its own"),
        ({0: seen(lacking="the record has no samples of it")}, "the record has no samples of it"),
    ):
        with pytest.raises(Unsplit, match=said):
            key_of(record)


def finding(code, first=None, last=None, severity="warning"):
    return Finding(
        code=code, severity=severity, subject="torch.optim.adam.Adam.step", message="Because.", check="c",
        first_step=first, last_step=last, ranks=(0,), alleges="unknown", evidence=(1,),
    )  # fmt: skip


def test_an_update_that_was_found_to_be_otherwise_is_not_what_the_gradient_makes():
    said = "its update is not what torch.optim.adam.Adam.step makes of the gradient"
    for code in ("optimizer.update_differs", "optimizer.state_differs"):
        assert not_recomputed([finding(code, 5, 9)], 7) == said
        assert not_recomputed([finding(code, 7)], 7) == said
        assert not_recomputed([finding(code, 8, 9), finding(code, 6)], 7) is None
    assert not_recomputed([finding("optimizer.not_recomputed", 90, 91, "info")], 7) == (
        "not every update is worked out again: Because."
    )
    assert not_recomputed([finding("dynamics.loss_jumped", 7)], 7) is None
