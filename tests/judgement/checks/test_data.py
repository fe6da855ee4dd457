"""The data check judged from records alone: honest loaders of every kind, and samplers that do otherwise."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DistributedSampler

from judgement.checks.loaders import DISTRIBUTED, RANDOM, SEQUENTIAL, Loader, judged, run_of, said, seeded_by_torch
from saksi.judgement.checks import data, data_epoch
from saksi.judgement.items import item_of
from saksi.words.codec import decode_record
from simulated_run import SimulatedRun

ORDER, AGAIN, MISSING = "data.order_differs", "data.sample_repeated", "data.sample_missing"
SHARE = {"num_replicas": 3, "rank": 1, "shuffle": True, "seed": 5, "drop_last": False}
HONEST = {
    "random": {},
    "sequential": {"sampler": SEQUENTIAL},
    "of a length that batches do not divide": {"length": 22},
    "drop_last": {"length": 22, "drop_last": True},
    "fewer samples than the dataset has": {"num_samples": 9},
    "more samples than the dataset has": {"num_samples": 50},
    "a share": {"sampler": DISTRIBUTED, **SHARE},
    "a share that is filled up": {"sampler": DISTRIBUTED, "length": 22, **SHARE},
    "a share that was cut": {"sampler": DISTRIBUTED, "length": 22, **SHARE, "drop_last": True},
    "a share in turn": {"sampler": DISTRIBUTED, **SHARE, "shuffle": False},
    "a share of next to nothing": {"sampler": DISTRIBUTED, "length": 2, **SHARE},
    "one sample at a time": {"size": 1},
}


@pytest.mark.parametrize("way", HONEST)
def test_honest_loaders_are_nothing_to_speak_of(way):
    def act(loader):
        loader.whole()
        loader.begin()
        loader.train(list(loader.places)[:2])  # broken off
        loader.begin()
        loader.train(list(loader.places)[1:])  # the first was handed to nobody who trains
        loader.exhaust()
        loader.whole()

    assert judged(run_of(act, **HONEST[way])) == ((), [])


def test_a_sampler_that_draws_its_seed_of_torchs_generator_is_followed():
    order, fields = seeded_by_torch(8)
    assert said(run_of(lambda loader: loader.whole(lambda _: order, **fields))) == []
    other = seeded_by_torch(9)[0]
    assert said(run_of(lambda loader: loader.whole(lambda _: other, **fields))) == [(ORDER, "warning", 0, 0)]


def test_a_seed_that_others_may_have_moved_accuses_nobody():
    order, fields = seeded_by_torch(8, more=1)
    other = seeded_by_torch(9)[0]
    for one in (order, other):
        simulated = run_of(lambda loader, one=one: loader.whole(lambda _: one, **fields))
        assert said(simulated) == [("data.not_checkable", "info", None, None)]


def repeating(order):
    """The last tenth is the first one again."""
    tenth = len(order) // 10
    return order[:-tenth] + order[:tenth]


def test_a_sampler_that_repeats_a_tenth_is_told_at_its_first_batch():
    def act(loader):
        loader.whole()
        loader.whole(repeating)
        loader.whole(repeating)

    found, news = judged(run_of(act))
    assert {(each.code, each.severity, each.first_step, each.last_step) for each in found} == {
        (ORDER, "warning", 9, 14), (AGAIN, "warning", 9, 14), (MISSING, "warning", 9, 14),
    }  # fmt: skip
    assert {each.alleges for each in found} == {"unknown"}
    assert {each.subject for each in found} == {"loader 0: RandomSampler"}
    assert len(news) == 3  # once for each cause
    (missing,) = (each for each in found if each.code == MISSING)
    assert "First in epoch 1" in missing.message
    assert "18 different samples, where its sampler hands out 20: " in missing.message


def test_a_dataset_that_changes_its_length_within_an_epoch_accuses_nobody():
    """At its end torch's sampler asks for the length again, and hands out what it makes of the rest."""
    simulated = run_of(lambda loader: loader.whole(lambda order: [*order, 3, 7, 1]))
    (found,), _ = judged(simulated)
    assert (found.code, found.severity, found.first_step) == (AGAIN, "info", 5)
    assert "more samples came behind the 20 of the dataset: 3, 7, 1. Torch's sampler does this" in found.message


@pytest.mark.parametrize("rank", [0, 1, 2])
@pytest.mark.parametrize("length", [7, 12, 20, 21, 24])
def test_a_dataset_that_became_shorter_than_a_share_was_made_for_accuses_nobody(rank, length):
    share, samples = SHARE | {"rank": rank}, list(range(32))
    made = DistributedSampler(samples, **share)
    del samples[length:]
    order, arguments = list(made), share | {"epoch": 0, "num_samples": len(made)}
    simulated = run_of(
        lambda loader: loader.whole(lambda _: order, arguments=arguments), sampler=DISTRIBUTED, length=length, **share
    )
    assert {(code, severity) for code, severity, *_ in said(simulated)} == (
        {(AGAIN, "info")} if length in {12, 21, 24} else set()
    )


def test_what_repeats_within_an_epoch_weighs_also_where_more_came_behind_another():
    def act(loader):
        loader.whole(lambda order: [*order, *order])
        loader.whole(lambda order: [*order[:10], *order[:10]])

    assert (AGAIN, "warning", 12, 14) in said(run_of(act))
    assert (AGAIN, "info", 5, 9) in said(run_of(act))


@pytest.mark.parametrize("way", ["sequential", "a share", "fewer samples than the dataset has"])
def test_more_samples_than_its_sampler_makes_weigh_where_torch_makes_none(way):
    (found,), _ = judged(run_of(lambda loader: loader.whole(lambda order: [*order, *order]), **HONEST[way]))
    assert (found.code, found.severity) == (AGAIN, "warning")


def test_an_epoch_that_runs_out_early_is_told_and_one_that_is_broken_off_is_not():
    def runs_out(loader):
        loader.begin()
        loader.order = loader.order[:16]
        loader.train()
        loader.exhaust()

    def breaks_off(loader):
        loader.begin()
        loader.train(range(4))

    assert said(run_of(runs_out)) == [(MISSING, "warning", 3, 3)]
    assert said(run_of(breaks_off)) == []


def test_what_is_missing_of_the_record_is_not_missing_of_the_data():
    def act(loader):
        loader.begin()
        loader.train([0, 1, 3, 4])
        loader.exhaust()

    assert said(run_of(act)) == []


def test_exhausted_may_be_said_before_the_last_batches_are():
    def act(loader):
        loader.begin()
        loader.order = repeating(loader.order)
        loader.train(range(3))
        loader.exhaust()
        loader.train([3, 4])

    assert said(run_of(act)) == [(ORDER, "warning", 4, 4), (MISSING, "warning", 4, 4), (AGAIN, "warning", 4, 4)]


@given(
    sizes=st.lists(st.integers(1, 9), min_size=1, max_size=30),
    left_out=st.sets(st.integers(0, 30)),
    samples=st.sampled_from([20, 45]),
)
@settings(deadline=None)
def test_a_batch_size_that_a_program_changes_within_an_epoch_accuses_nobody(sizes, left_out, samples):
    def act(loader):
        loader.begin()
        begin = 0
        for place, size in enumerate(sizes):
            ids = loader.order[begin : begin + size]
            if ids and place not in left_out:
                loader.connection.update(batches=[loader.batch(0) | {"place": place, "before": begin, "ids": ids}])
            begin += size

    assert said(run_of(act, num_samples=samples)) == []


def test_what_a_larger_last_batch_would_have_held_is_dropped_with_it():
    def act(loader):
        loader.begin()
        for place, (begin, end) in enumerate(((0, 4), (4, 11))):
            one = {"place": place, "before": begin, "ids": loader.order[begin:end]}
            loader.connection.update(batches=[loader.batch(0) | one])
        loader.exhaust(batches=2)

    assert said(run_of(act, length=17, drop_last=True)) == []
    assert said(run_of(act, length=17)) == [(MISSING, "warning", 1, 1)]


def test_an_order_is_followed_over_batches_of_any_size():
    def act(loader):
        loader.begin()
        order = [*loader.order[:15], loader.order[16], loader.order[15], *loader.order[17:]]
        for place, (begin, end) in enumerate(((0, 3), (3, 12), (12, 20))):
            one = {"place": place, "before": begin, "ids": order[begin:end]}
            loader.connection.update(batches=[loader.batch(0) | one])

    assert said(run_of(act)) == [(ORDER, "warning", 2, 2)]


def test_another_order_of_the_same_samples_is_told():
    swapped = lambda order: [order[1], order[0], *order[2:]]  # noqa: E731
    assert said(run_of(lambda loader: loader.whole(swapped))) == [(ORDER, "warning", 0, 0)]
    share = {"sampler": DISTRIBUTED, **SHARE}
    assert said(run_of(lambda loader: loader.whole(swapped), **share)) == [(ORDER, "warning", 0, 0)]
    assert said(run_of(lambda loader: loader.whole(swapped), sampler=SEQUENTIAL)) == [(ORDER, "warning", 0, 0)]


def test_a_rank_that_is_given_the_share_of_another_is_told():
    def act(loader):
        loader.begin()
        other = Loader(SimulatedRun().attach(), sampler=DISTRIBUTED, **SHARE | {"rank": 0})
        other.begin()
        loader.order = other.order
        loader.train()

    assert said(run_of(act, sampler=DISTRIBUTED, **SHARE)) == [(ORDER, "warning", 0, 0)]


def test_a_sample_that_the_dataset_has_not_is_told():
    found, _ = judged(run_of(lambda loader: loader.whole(lambda order: [*order[:-1], 20])))
    assert {each.code for each in found} == {ORDER, MISSING}
    (order,) = (each for each in found if each.code == ORDER)
    assert "sample 20 came at place 19: the dataset had 20 samples" in order.message


def test_under_a_torch_that_is_not_known_an_order_is_no_warning():
    swapped = lambda order: [order[1], order[0], *order[2:]]  # noqa: E731
    for version in ("2.14.0", "3.0", "nightly", "1.9.0", ""):
        assert said(run_of(lambda loader: loader.whole(swapped), torch=version)) == [(ORDER, "info", 0, 0)]
    assert said(run_of(lambda loader: loader.whole(swapped), torch="2.0.1+cu118")) == [(ORDER, "warning", 0, 0)]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"sampler": "torch.utils.data.sampler.WeightedRandomSampler", "length": None, "arguments": {}}, "Weighted"),
        ({"sampler": "torch.utils.data.dataloader._InfiniteConstantSampler", "length": None}, "may hand out any"),
        ({"sampler": "__main__.Mine", "length": None, "arguments": {}}, "__main__.Mine may hand out any sample"),
        ({"arguments": {"replacement": True, "num_samples": 20}}, "draws with replacement"),
        ({"length": data_epoch.MAX_SAMPLES + 1}, "4,194,304 samples"),
    ],
)
def test_what_may_hand_out_anything_is_said_once_and_not_judged(changes, words):
    def act(loader):
        for _ in range(3):
            loader.whole(lambda order: [order[0]] * 20, **changes)

    (found,), news = judged(run_of(act))
    assert (found.code, found.severity) == ("data.not_recomputed", "info")
    assert words in found.message
    assert len(news) == 1


def test_without_the_generators_state_samples_are_counted_all_the_same():
    found = said(run_of(lambda loader: loader.whole(repeating, state=None)))
    assert [each[:2] for each in found] == [
        ("data.not_recomputed", "info"), (MISSING, "warning"), (AGAIN, "warning"),
    ]  # fmt: skip


@pytest.mark.parametrize(("size", "code"), [(257, "data.not_recomputed"), (256, "data.not_checkable")])
def test_batches_without_ids_are_not_judged_and_small_ones_should_have_some(size, code):
    """A function of torch's that hands out ids as numbers of another library would otherwise pass as a large batch."""

    def act(loader):
        loader.begin()
        loader.train(ids=None)
        loader.exhaust()

    assert said(run_of(act, size=size, length=600)) == [(code, "info", None, None)]


def test_an_epoch_whose_beginning_is_not_in_the_record_cannot_be_judged():
    def act(loader):
        loader.begin()
        loader.epoch += 1
        loader.train()

    assert said(run_of(act)) == [("data.not_checkable", "info", None, None)]


def test_what_older_recorders_say_is_read():
    def act(loader):
        loader.order = [3, 3, 3, 3]
        batch = loader.batch(0)
        del batch["epoch"], batch["place"], batch["before"]
        loader.connection.update(batches=[batch])

    assert said(run_of(act)) == []


def test_batches_in_no_order_are_said_and_not_judged():
    def act(loader):
        loader.begin()
        loader.order.reverse()
        loader.train(ids=None, epoch=None)

    (found,), _ = judged(run_of(act))
    assert found.code == "data.not_recomputed"
    assert "in_order=False" in found.message


def test_two_iterators_of_one_loader_may_take_turns():
    def act(loader):
        loader.begin()
        first = loader.order
        loader.begin()
        for place in loader.places:
            second = loader.batch(place)
            ids = first[4 * place : 4 * place + 4]
            loader.connection.update(batches=[second | {"epoch": 0, "ids": ids}, second])

    assert said(run_of(act)) == []


def test_an_epoch_that_is_said_again_on_another_connection_goes_on():
    simulated = SimulatedRun()
    first = simulated.attach()
    loader = Loader(first)
    loader.begin()
    loader.train([0, 1])
    first.vanish()
    loader.connection = simulated.reattach(first)
    begun = loader.order
    loader.epoch -= 1
    loader.begin()
    loader.order = begun
    loader.train([2, 3])
    loader.order = begun[:16] + begun[:4]
    loader.train([4])
    loader.connection.goodbye()
    assert said(simulated) == [(ORDER, "warning", 4, 4), (AGAIN, "warning", 4, 4)]


def test_loaders_of_ranks_are_judged_apart():
    simulated = SimulatedRun()
    connections = [simulated.attach(rank, world_size=2) for rank in (0, 1)]
    for rank, each in enumerate(connections):
        loader = Loader(each, sampler=DISTRIBUTED, **SHARE | {"num_replicas": 2, "rank": rank})
        loader.whole(repeating if rank else lambda order: order)
    for each in connections:
        each.goodbye()
    assert {each.ranks for each in judged(simulated)[0]} == {(1,)}


def test_a_claim_that_costs_more_work_than_it_is_worth_is_not_worked_out(monkeypatch):
    monkeypatch.setattr(data, "WORK", 10)
    monkeypatch.setattr(data, "WORK_FOR_EACH", 0)
    assert said(run_of(lambda loader: loader.whole())) == [("data.not_checkable", "info", None, None)]


def test_loaders_that_are_begun_and_never_heard_of_are_bounded(monkeypatch):
    monkeypatch.setattr(data, "MAX_LOADERS", 3)

    def act(loader):
        for number in range(1, 9):
            Loader(loader.connection, number).begin()
        other = Loader(loader.connection, 8)
        other.epoch = 0
        other.whole()

    simulated = run_of(act)
    state = data.DATA.start()
    for index, entry in enumerate(simulated.entries[:-2]):
        state, _ = data.DATA.step(state, item_of(index, decode_record(entry), simulated.blob))
    (process,) = state.followed.kept()
    assert list(process.loaders) == [6, 7, 8]
    assert process.size == sum(each.size for each in process.loaders.values())


def test_room_for_a_large_epoch_costs_credit(monkeypatch):
    def act(loader):
        loader.begin()
        loader.train(range(50))

    large = {"length": 5_000, "size": 100}
    monkeypatch.setattr(data, "WORK_FOR_EACH", 0)
    monkeypatch.setattr(data, "WORK", 5_060)
    assert said(run_of(act, **large)) == []
    monkeypatch.setattr(data, "WORK", 5_030)
    assert said(run_of(act, **large)) == [("data.not_checkable", "info", None, None)]


@pytest.mark.parametrize("number", [4_000, 4_050, 4_200])
def test_a_large_epoch_is_followed_before_and_behind_the_place_where_it_is_given_room(number):
    def act(loader):
        loader.whole()
        loader.whole(lambda order: [*order[:number], order[7], *order[number + 1 :]])

    found = said(run_of(act, length=5_000, size=100))
    step = 50 + number // 100
    assert found == [(ORDER, "warning", step, step), (MISSING, "warning", 99, 99), (AGAIN, "warning", step, step)]


def test_a_program_may_begin_an_epoch_for_each_batch_of_a_large_dataset():
    def act(loader):
        for _ in range(30):
            loader.begin()
            loader.train([0])

    simulated = run_of(act, length=100_000, size=8)
    state = data.DATA.start()
    for index, entry in enumerate(simulated.entries):
        state, news = data.DATA.step(state, item_of(index, decode_record(entry), simulated.blob))
        assert news == ()
        assert all(process.size < 10_000 for process in state.followed.kept())


def test_beyond_what_is_followed_nothing_is_judged(monkeypatch):
    def act(loader):
        loader.begin()
        loader.train([0])
        other = Loader(loader.connection, 1, length=100)
        other.whole(repeating)
        loader.train([1])

    monkeypatch.setattr(data, "MAX_ALL", 30 + 2 * data.LOADER)
    (found,), _ = judged(run_of(act))
    assert (found.code, found.subject) == ("data.not_checkable", "loader 1: RandomSampler")
    monkeypatch.setattr(data, "MAX_ALL", 4_500)
    (found,), _ = judged(run_of(lambda loader: loader.whole(), length=5_000, size=100))
    assert (found.code, found.subject) == ("data.not_checkable", "loader 0: RandomSampler")


@given(length=st.integers(1, 60), size=st.integers(1, 9), heard=st.sets(st.integers(0, 59)), ends=st.booleans())
@settings(deadline=None)
def test_whatever_is_left_out_of_an_honest_epoch_nothing_is_found(length, size, heard, ends):
    def act(loader):
        loader.begin()
        loader.train([place for place in loader.places if place in heard])
        if ends:
            loader.exhaust()

    for sampler in (RANDOM, SEQUENTIAL):
        assert said(run_of(act, sampler=sampler, length=length, size=size)) == []


@given(first=st.integers(0, 19), second=st.integers(0, 19))
@settings(deadline=None)
def test_any_two_samples_that_change_places_are_told_at_the_first_of_them(first, second):
    def swapped(order):
        order[first], order[second] = order[second], order[first]
        return order

    expected = [] if first == second else [(ORDER, "warning", min(first, second) // 4, min(first, second) // 4)]
    assert said(run_of(lambda loader: loader.whole(swapped))) == expected


MADE_UP = st.fixed_dictionaries(
    {},
    optional={
        "length": st.sampled_from([None, 0, 1, 20, 2**63 - 1]),
        "batch_size": st.sampled_from([None, 0, 1, 2**63 - 1]),
        "arguments": st.dictionaries(
            st.sampled_from(["replacement", "num_samples", "rank", "num_replicas", "seed", "shuffle"]),
            st.one_of(st.booleans(), st.integers(-(2**63), 2**63 - 1)),
        ),
        "sampler": st.sampled_from([RANDOM, SEQUENTIAL, DISTRIBUTED, "x"]),
        "state": st.sampled_from([None, "", "AAAA"]),
        "drop_last": st.booleans(),
        "own": st.booleans(),
    },
)


@given(
    fields=MADE_UP,
    place=st.sampled_from([0, 1, 2**62, 2**63 - 1]),
    ids=st.lists(st.sampled_from([-1, 0, 5, 2**63 - 1]), max_size=3),
)
@settings(deadline=None)
def test_whatever_a_job_makes_up_nothing_is_raised(fields, place, ids):
    def act(loader):
        loader.begin(**fields)
        loader.connection.update(batches=[loader.batch(0) | {"place": place, "before": place, "ids": ids}])
        loader.exhaust()
        loader.exhaust(batches=1)
        loader.train([0, 1])

    found, _ = judged(run_of(act))
    assert {each.alleges for each in found} <= {"unknown"}
    assert {each.code.partition(".")[0] for each in found} <= {"data"}
