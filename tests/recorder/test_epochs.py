"""What the recorder says of the beginning and the end of an epoch, compared with what the script itself saw."""

# ruff: noqa: E501  (scripts that run elsewhere are quoted as they are)

from __future__ import annotations

import json

import pytest

from recorder.listener import Listener, environment, kinds, run
from saksi.judgement.ordering.orders import Orders, others_drew
from torch_loaded import LOADED

pytestmark = pytest.mark.training

SCRIPT = (
    LOADED
    + r"""
import json, torch
from torch.utils.data import BatchSampler, DataLoader, Dataset, DistributedSampler, IterableDataset, RandomSampler, Sampler, SubsetRandomSampler, WeightedRandomSampler
torch.manual_seed(4)

class Counted(Dataset):
    asked = 0
    def __len__(self):
        Counted.asked += 1
        return 12
    def __getitem__(self, index):
        return torch.tensor([float(index)])

class Mine(RandomSampler):
    pass

class Stream(IterableDataset):
    def __iter__(self):
        yield from torch.arange(3.0)

data = Counted()
own = torch.Generator().manual_seed(5)
share = DistributedSampler(data, num_replicas=5, rank=3, seed=7)
share.set_epoch(2)
odd = DistributedSampler(data, num_replicas=5, rank=3, shuffle=False)
odd.epoch = 1.5
loaders = [
    DataLoader(data, 5, shuffle=True),
    DataLoader(data, 5, shuffle=True, generator=own, drop_last=True),
    DataLoader(data, 5),
    DataLoader(data, 5, sampler=share),
    DataLoader(data, batch_sampler=BatchSampler(RandomSampler(data, num_samples=4), 2, False)),
    DataLoader(data, None, shuffle=True),
    DataLoader(data, 5, sampler=RandomSampler(data, replacement=True)),
    DataLoader(data, 5, sampler=WeightedRandomSampler([1.0] * 12, 6)),
    DataLoader(data, 5, sampler=SubsetRandomSampler([3, 4, 5])),
    DataLoader(data, 5, sampler=Mine(data)),
    DataLoader(data, 5, sampler=odd),
    DataLoader(data, 5, batch_sampler=None, sampler=range(3)),
    DataLoader(Stream(), 5),
    DataLoader(data, 5, sampler=[]),
]
seen = []
for loader in loaders:
    batches = iter(loader)
    seen.append([int(one) for batch in batches for one in batch.flatten()])
    assert next(batches, None) is None  # asked again
model = torch.nn.Linear(1, 1)
torch.optim.SGD(model.parameters(), lr=0.1).step()
print(json.dumps({"seen": seen, "state": torch.get_rng_state().sum().item(), "own": own.get_state().sum().item()}))
"""
)
SAMPLER = "torch.utils.data.sampler."


@pytest.fixture(scope="module")
def said(tmp_path_factory):
    folder = tmp_path_factory.mktemp("epochs")
    plain = json.loads(run(SCRIPT, environment(None, PYTHONPATH="")).stdout)
    with Listener(folder / "s") as agent:
        recorded = json.loads(run(SCRIPT, environment(folder / "s")).stdout)
        agent.drain()
        frames = agent.frames()
    assert recorded == plain
    assert not kinds(frames, "Fault"), kinds(frames, "Fault")
    assert not kinds(frames, "Uncovered")
    return frames, recorded["seen"]


def test_the_sampler_and_its_arguments_are_said_of_torchs_own_classes_alone(said):
    frames, _ = said
    told = [
        (f.sampler.removeprefix(SAMPLER), f.length, f.batch_size, f.drop_last, f.arguments)
        for f in kinds(frames, "Epoch")
    ]
    share = {
        "num_replicas": 5,
        "rank": 3,
        "shuffle": True,
        "seed": 7,
        "epoch": 2,
        "drop_last": False,
        "num_samples": 3,
        "total_size": 15,
    }
    assert told == [
        ("RandomSampler", 12, 5, False, {"replacement": False, "num_samples": 12}),
        ("RandomSampler", 12, 5, True, {"replacement": False, "num_samples": 12}),
        ("SequentialSampler", 12, 5, False, {}),
        ("torch.utils.data.distributed.DistributedSampler", 12, 5, False, share),
        ("RandomSampler", 12, 2, False, {"replacement": False, "num_samples": 4}),
        ("RandomSampler", 12, None, False, {"replacement": False, "num_samples": 12}),
        ("RandomSampler", 12, 5, False, {"replacement": True, "num_samples": 12}),
        ("WeightedRandomSampler", None, 5, False, {}),
        ("SubsetRandomSampler", None, 5, False, {}),
        ("__main__.Mine", None, 5, False, {}),
        ("torch.utils.data.distributed.DistributedSampler", None, 5, False, {}),
        ("builtins.range", None, 5, False, {}),
        ("torch.utils.data.dataloader._InfiniteConstantSampler", None, 5, False, {}),
    ]  # an epoch of no batch at all is none
    assert {f.dataset for f in kinds(frames, "Epoch")} == {"__main__.Counted", "__main__.Stream"}


def test_the_state_that_is_said_makes_the_order_that_came(said):
    frames, seen = said
    worked_out = 0
    for frame in kinds(frames, "Epoch"):
        order = Orders().of(frame) if frame.length and not frame.arguments.get("replacement") else None
        assert not others_drew(frame)
        if order is not None:
            worked_out += 1
            assert [order.at(place) for place in range(len(seen[frame.loader]))] == seen[frame.loader]
    assert worked_out == 6
    given = [(frame.own, frame.state is not None, frame.after is not None) for frame in kinds(frames, "Epoch")][:7]
    by_torch, by_itself, neither = (False, True, True), (True, True, False), (False, False, False)
    assert given == [by_torch, by_itself, neither, neither, by_torch, by_torch, neither]


def test_the_end_of_an_epoch_is_said_once(said):
    frames, _ = said
    told = [(frame.loader, frame.epoch, frame.batches) for frame in kinds(frames, "Exhausted")]
    assert [loader for loader, _, _ in told] == list(range(13))
    assert told[:6] == [(0, 0, 3), (1, 0, 2), (2, 0, 3), (3, 0, 1), (4, 0, 2), (5, 0, 12)]


FORKED = (
    LOADED
    + """
import os, sys, torch
from torch.utils.data import DataLoader
loader = DataLoader(range(12), 4, shuffle=True)
batches = iter(loader)
next(batches)
model = torch.nn.Linear(1, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
if os.fork() == 0:
    for batch in batches:
        optimizer.step()
    for batch in loader:
        optimizer.step()
    sys.exit(0)
os.wait()
"""
)


def test_a_forked_child_that_goes_on_with_an_epoch_says_how_it_began(agent, tmp_path):
    run(FORKED, environment(tmp_path / "s"))
    agent.drain(2)
    (parent,), child = kinds(agent.frames(0), "Epoch"), agent.frames(1)
    first, second = kinds(child, "Epoch")
    assert (first.epoch, first.state, first.after) == (0, parent.state, parent.after)
    batches = [batch for update in kinds(child, "Update") for batch in update.batches]
    told = [(batch.epoch, batch.place) for batch in batches]
    assert told[-3:] == [(1, 0), (1, 1), (1, 2)]
    assert set(told[:-3]) <= {(0, 1), (0, 2)}
    order = Orders().of(second)
    assert [i for batch in batches[-3:] for i in batch.ids] == [order.at(place) for place in range(12)]


SPAWNED = (
    LOADED
    + """
import torch
from torch.utils.data import DataLoader
from saksi_recorder import session
loader = DataLoader(range(12), 4, shuffle=True, num_workers=1, persistent_workers=True)
model = torch.nn.Linear(1, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for epoch in range(2):
    for number, batch in enumerate(loader):
        optimizer.step()
        if (epoch, number) == (1, 1):
            session.channel.reopen()
"""
)


def test_a_new_connection_is_told_of_the_epoch_that_is_under_way(agent, tmp_path):
    run(SPAWNED, environment(tmp_path / "s"))
    agent.drain(2)
    before, after = kinds(agent.frames(0), "Epoch"), kinds(agent.frames(1), "Epoch")
    assert [frame.epoch for frame in before] == [0, 1]
    assert [(frame.epoch, frame.state) for frame in after] == [(1, before[1].state)]
    assert [frame.epoch for frame in kinds(agent.frames(1), "Exhausted")] == [1]
