"""How far two records are apart: what is no arithmetic is equal or not, and numbers are so far apart."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from judgement.replay.test_judge import REPLAY, trained
from saksi.judgement.distance import KINDS, OTHERWISE, Where, distance_of, relative
from saksi.judgement.paired_views import of_attempt
from saksi.judgement.replay.compare import _STAGES
from saksi.judgement.update_views import FIELD_ORDER, update_views
from simulated_run import SimulatedRun

NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
GROUP = {"lr": 0.1, "params": 2}


def between(record, replay):
    return distance_of(*(of_attempt(update_views(each.items()), 0) for each in (record, replay)))


def kinds(found):
    """Those that are not equal throughout, and the first step of each."""
    return {each.kind: (each.equal, each.first.update) for each in found.kinds if each.first is not None}


def with_inventories(run, *said, lists=None):
    """A run whose updates carry these inventories; each is said once, as a recorder does. `lists` by their letter."""
    simulated = SimulatedRun(run)
    connection, known = simulated.attach(), set()
    for each in said:
        if each not in known:
            known.add(each)
            connection.send("inventory", inventory=each * 64, hooks=(lists or {}).get(each, {"hooks": [each]}))
        connection.update(inventory=each * 64)
    connection.goodbye()
    simulated.exit()
    return simulated


def test_every_field_of_a_view_has_a_kind_that_is_its_stage_or_is_named_as_having_none():
    of_kinds = [name for names in KINDS.values() for name in names]
    assert sorted((*of_kinds, *OTHERWISE)) == sorted(FIELD_ORDER)
    assert all(_STAGES[name] == kind for kind, names in KINDS.items() for name in names)


def test_what_is_the_same_is_equal_in_everything():
    found = between(trained(ranks=2), trained(REPLAY, ranks=2))
    assert (found.updates, found.loss.equal, found.loss.unlike, found.loss.apart) == (24, found.loss.compared, 0, None)
    assert [(each.kind, each.compared, each.equal, each.first) for each in found.kinds] == [
        (kind, 24, 24, None) for kind in KINDS
    ]


def test_the_two_losses_that_are_furthest_apart_are_told_with_their_step():
    record = trained(altered={3: {"loss": 1.01}, 7: {"loss": 2.0}, 9: {"loss": 0.0}})
    replay = trained(REPLAY, altered={3: {"loss": 1.0}, 7: {"loss": 1.5}, 9: {"loss": 0.0}})
    found = between(record, replay).loss
    assert (found.compared, found.equal, found.apart) == (12, 10, 0.25)
    assert found.at == Where(rank=0, optimizer=0, update=7)


def test_what_comes_behind_a_first_difference_is_compared_too():
    record = trained(altered={step: {"loss": 1.0 + step / 100} for step in range(4, 12)})
    replay = trained(REPLAY, altered={step: {"loss": 1.0} for step in range(4, 12)})
    assert between(record, replay).loss.at.update == 11


@pytest.mark.parametrize(
    ("ours", "theirs", "unlike"),
    [
        ("NaN", "NaN", 0),
        ("NaN", 1.0, 1),
        (1.0, "Infinity", 1),
        ("Infinity", "-Infinity", 1),
        ("NaN", "Infinity", 1),
        (None, 1.0, 1),
    ],
)
def test_what_is_no_number_is_counted_and_is_no_distance(ours, theirs, unlike):
    found = between(trained(altered={5: {"loss": ours}}), trained(REPLAY, altered={5: {"loss": theirs}})).loss
    assert (found.unlike, found.equal, found.apart, found.compared) == (unlike, 12 - unlike, None, 12)


def test_a_loss_that_neither_has_is_not_compared():
    without = {5: {"loss": None}}
    assert between(trained(altered=without), trained(REPLAY, altered=without)).loss.compared == 11


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("hyper_parameters", {"groups": [GROUP]}),
        ("randomness", {"rng": {"torch": "ab" * 32}}),
        ("code", {"inventory": "f" * 64}),
        ("program", {"losses": 3}),
        ("data", {"batches": []}),
    ],
)
def test_what_is_no_arithmetic_is_told_with_the_first_step_of_its_own(kind, fields):
    found = between(trained(altered={6: fields, 8: fields}), trained(REPLAY))
    assert kinds(found) == {kind: (10, 6)}


def test_what_neither_has_is_not_compared_and_so_not_equal():
    without = {step: {"batches": []} for step in range(12)}
    (data,) = [each for each in between(trained(altered=without), trained(REPLAY, altered=without)).kinds
               if each.kind == "data"]  # fmt: skip
    assert (data.compared, data.equal, data.first) == (0, 0, None)


def test_what_a_device_did_not_deliver_is_not_compared_and_so_not_equal():
    late = {step: {"groups": [], "deferred": ["groups"]} for step in (3, 4)}
    (groups,) = [each for each in between(trained(altered=late), trained(REPLAY)).kinds
                 if each.kind == "hyper_parameters"]  # fmt: skip
    assert (groups.compared, groups.equal, groups.first) == (10, 10, None)


def test_generators_that_nobody_seeded_are_not_compared():
    record, replay = (
        trained(name, altered={step: {"rng": {"torch": digits * 32}} for step in range(12)})
        for name, digits in (("00112233445566aa", "ab"), (REPLAY, "cd"))
    )
    found = between(record, replay)
    assert (found.updates, kinds(found)) == (12, {})
    assert [each.compared for each in found.kinds if each.kind == "randomness"] == [0]


def test_another_number_of_threads_is_told_and_is_no_other_code():
    def with_flags(run, *flags):
        return with_inventories(run, "a", lists={"a": {"flags": list(flags)}})

    record = with_flags("00112233445566aa", "precision=highest", "threads=2")
    found = between(record, with_flags(REPLAY, "precision=highest", "threads=1"))
    assert (found.updates, kinds(found), found.threads) == (1, {}, (2, 1))
    found = between(record, with_flags(REPLAY, "precision=high"))
    assert (kinds(found), found.threads) == ({"code": (0, 0)}, (2, None))


def test_an_inventory_that_comes_back_is_the_one_that_was_said_before():
    record = with_inventories("00112233445566aa", *"abaa")
    assert kinds(between(record, with_inventories(REPLAY, *"abbb"))) == {"code": (2, 2)}
    assert kinds(between(record, with_inventories(REPLAY, *"abaa"))) == {}


def test_only_updates_that_both_have_are_compared():
    assert between(trained(steps=9), trained(REPLAY, steps=12)).updates == 9


@given(NUMBERS, NUMBERS)
def test_a_distance_is_the_same_both_ways_finite_and_none_between_a_number_and_itself(a, b):
    assert relative(a, b) == relative(b, a)
    assert relative(a, a) == 0.0
    assert 0.0 <= relative(a, b) <= 2.0
    assert relative(a, b) > 0.0 or abs(a - b) <= 1e-15 * max(abs(a), abs(b))


@given(st.floats(0.5, 2), st.floats(0.5, 2), st.integers(-100, 100))
def test_a_distance_is_beside_the_size_of_the_numbers(a, b, power):
    assert relative(a * 2.0**power, b * 2.0**power) == relative(a, b)
