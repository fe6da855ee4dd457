"""The orders against torch itself: the same permutations and shares, for many lengths, seeds and states."""

from __future__ import annotations

import base64
import struct

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader, DistributedSampler, RandomSampler

from saksi.judgement.ordering.orders import DISTRIBUTED, RANDOM, InTurn, Orders, Permutation, Strided, others_drew
from saksi.judgement.ordering.twister import seeded, twister_of
from saksi.words.frames import EpochFrame

SEEDS = st.integers(-(2**63), 2**63 - 1)
LENGTHS = st.integers(1, 3_000)


def state_of(generator: torch.Generator) -> str:
    """A generator's state as the recorder says it, read here by torch's own layout."""
    raw = generator.get_state().numpy().tobytes()
    _, left, _, following = struct.unpack_from("<QiiQ", raw)
    words = struct.unpack_from("<624Q", raw, 24)
    return base64.b64encode(struct.pack("<625I", *words, 624 if left == 1 else following)).decode()


def epoch(**changes) -> EpochFrame:
    fields = {
        "seq": 0, "prev": "0" * 64, "wall_ns": 0, "mono_ns": 0, "lost": 0, "loader": 0, "epoch": 0, "sampler": RANDOM,
        "dataset": "builtins.range", "length": 10, "batch_size": 4, "drop_last": False, "arguments": {}, "own": False,
        "state": None, "after": None,
    }  # fmt: skip
    return EpochFrame(**fields | changes)


def whole(order, length):
    return [order.at(place) for place in range(length)]


@given(seed=SEEDS, length=LENGTHS)
@settings(deadline=None)
def test_a_permutation_is_torchs(seed, length):
    expected = torch.randperm(length, generator=torch.Generator().manual_seed(seed)).tolist()
    assert whole(Permutation(length, seeded(seed)), length) == expected


@pytest.mark.parametrize("length", [1, 2, 623, 624, 625, 4_096, 4_097, 100_003])
def test_a_permutation_is_torchs_at_every_edge(length):
    expected = torch.randperm(length, generator=torch.Generator().manual_seed(9)).tolist()
    order = Permutation(length, seeded(9))
    assert order.at(length - 1) == expected[-1]  # the last place first
    assert whole(order, length) == expected
    assert whole(Permutation(length, seeded(9)), length) == expected


@given(seed=SEEDS, length=st.integers(1, 2**22), count=st.integers(1, 300))
@settings(deadline=None, max_examples=30)
def test_the_first_samples_of_a_long_permutation_are_torchs(seed, length, count):
    expected = torch.randperm(length, generator=torch.Generator().manual_seed(seed))[:count].tolist()
    assert whole(Permutation(length, seeded(seed)), len(expected)) == expected


@given(seed=SEEDS, drawn=st.integers(0, 1_300), length=LENGTHS)
@settings(deadline=None)
def test_a_generator_in_any_state_permutes_as_torchs(seed, drawn, length):
    generator = torch.Generator().manual_seed(seed)
    torch.rand(drawn, generator=generator)
    said = epoch(length=length, own=True, state=state_of(generator))
    expected = list(RandomSampler(range(length), generator=generator))
    assert whole(Orders().of(said), length) == expected
    moved = twister_of(said.state)
    moved.draw(2 * (length - 1))  # torch permutes once more for what is left over of `num_samples`: nothing
    assert moved.digest() == twister_of(state_of(generator)).digest()


@given(seed=SEEDS, drawn=st.integers(0, 1_300), length=st.integers(1, 200))
@settings(deadline=None)
def test_a_sampler_without_a_generator_is_seeded_from_torchs(seed, drawn, length):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        torch.rand(drawn)
        before = state_of(torch.default_generator)
        expected = list(RandomSampler(range(length)))
        assert whole(Orders().of(epoch(length=length, state=before)), length) == expected


SHARES = st.fixed_dictionaries(
    {
        "num_replicas": st.integers(1, 9),
        "shuffle": st.booleans(),
        "seed": st.integers(0, 2**40),
        "drop_last": st.booleans(),
    }
)


@given(length=st.integers(9, 60), share=SHARES, number=st.integers(0, 50), data=st.data())
@settings(deadline=None)
def test_each_rank_has_its_share(length, share, number, data):
    rank = data.draw(st.integers(0, share["num_replicas"] - 1))
    sampler = DistributedSampler(range(length), rank=rank, **share)
    sampler.set_epoch(number)
    said = epoch(sampler=DISTRIBUTED, length=length, arguments=share | {"rank": rank, "epoch": number})
    assert whole(Orders().of(said), len(sampler)) == list(sampler)


@pytest.mark.parametrize("rank", range(7))
def test_a_share_of_a_dataset_that_is_smaller_than_the_ranks_is_filled_up(rank):
    sampler = DistributedSampler(range(3), num_replicas=7, rank=rank, shuffle=True, seed=2)
    arguments = {"num_replicas": 7, "rank": rank, "shuffle": True, "seed": 2, "epoch": 0}
    order = Orders().of(epoch(sampler=DISTRIBUTED, length=3, arguments=arguments))
    assert whole(order, len(sampler)) == list(sampler)


def test_a_place_is_known_without_those_behind_it():
    order = Permutation(1_000, seeded(4))
    assert order.reach(9) == 10
    order.at(9)
    assert (order.worked_out, order.reach(9), order.reach(999)) == (10, 0, 989)
    assert Strided(InTurn(), size=10, first=1, step=2).reach(3) == 0


def test_ranks_of_an_epoch_share_its_permutation():
    orders, arguments = Orders(), {"num_replicas": 2, "shuffle": True, "seed": 1, "epoch": 3}
    kept = [orders.of(epoch(sampler=DISTRIBUTED, arguments=arguments | {"rank": rank})) for rank in (0, 1)]
    kept[0].at(4)
    assert kept[1].reach(3) == 0


@pytest.mark.parametrize(
    "changes",
    [
        {"length": 0},
        {"length": None},
        {"sampler": "elsewhere.Sampler"},
        {"state": "no base64"},
        {"state": base64.b64encode(bytes(2_499)).decode()},
        {"state": base64.b64encode(bytes(2_496) + b"\xff\xff\0\0").decode()},
        {"sampler": DISTRIBUTED, "arguments": {"num_replicas": 2, "rank": 2}},
        {"sampler": DISTRIBUTED, "arguments": {"num_replicas": 2, "rank": -1}},
        {"sampler": DISTRIBUTED, "arguments": {}},
        {"sampler": DISTRIBUTED, "batch_size": None, "arguments": {"num_replicas": 2, "rank": 1}},
    ],
)
def test_what_does_not_determine_an_order_has_none(changes):
    assert Orders().of(epoch(**changes)) is None


def test_who_else_drew_from_torchs_generator_is_told_from_a_sampler_that_drew_less():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        before, places = state_of(torch.default_generator), []
        for _ in range(5):
            twister = twister_of(state_of(torch.default_generator))
            places.append(twister.digest())
            torch.rand(1)  # one word
    said = [others_drew(epoch(state=before, after=after)) for after in places]
    assert said == [False, False, False, True, True]
    assert not others_drew(epoch(state=before, after=None))
    assert not others_drew(epoch(state=before, after="0" * 32, own=True))


def test_a_loader_moves_torchs_generator_by_one_seed_for_its_order():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(6)
        batches = iter(DataLoader(range(10), batch_size=3, shuffle=True))
        before = state_of(torch.default_generator)
        first = next(batches).tolist()
        after = twister_of(state_of(torch.default_generator)).digest()
    said = epoch(state=before, after=after)
    assert whole(Orders().of(said), 3) == first
    assert not others_drew(said)
