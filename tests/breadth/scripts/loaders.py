"""A training fed by a DataLoader, in each of the ways that are named on the command line."""

import queue
import random
import sys
import threading

import numpy as np
import torch
from outcome import begin, each, end
from torch import nn
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

WAYS = {
    "in_process": {},
    "fork": {"num_workers": 2},
    "spawn": {"num_workers": 2, "multiprocessing_context": "spawn"},
    "forkserver": {"num_workers": 2, "multiprocessing_context": "forkserver"},
    "persistent": {"num_workers": 2, "persistent_workers": True, "prefetch_factor": 3},
    "in_a_thread": {},
    "unordered": {"num_workers": 1, "in_order": False},
}


class Noisy(Dataset):
    def __len__(self):
        return 48

    def __getitem__(self, index):
        return torch.full((6,), index / 48) + random.random() + torch.rand(6), index % 3


class Stream(IterableDataset):
    def __iter__(self):
        for index in range(48):
            yield torch.full((6,), index / 48) + np.random.rand(), index % 3  # noqa: NPY002 - as scripts do


def loader(way):
    if way == "iterable":
        return DataLoader(Stream(), batch_size=8)
    if way == "iterable_worker":
        return DataLoader(Stream(), batch_size=8, num_workers=1)
    if way == "own_generator":
        data = TensorDataset(torch.randn(48, 6), torch.arange(48) % 3)
        return DataLoader(data, batch_size=8, shuffle=True, generator=torch.Generator().manual_seed(3))
    if way == "without":
        return [(torch.randn(8, 6), torch.randint(3, (8,))) for _ in range(6)]
    return DataLoader(Noisy(), batch_size=8, shuffle=True, **WAYS[way])


def fetched_in_a_thread(loader):
    """The loader's batches, fetched ahead by a thread of the script's own."""
    waiting = queue.Queue(maxsize=2)

    def fetch():
        for batch in loader:
            waiting.put(batch)
        waiting.put(None)

    fetching = threading.Thread(target=fetch)
    fetching.start()
    yield from iter(waiting.get, None)
    fetching.join()


def main(way):
    begin()
    model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))
    optimizer = torch.optim.AdamW(model.parameters())
    batches = loader(way)
    for _ in range(2):
        for x, y in fetched_in_a_thread(batches) if way == "in_a_thread" else batches:
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x.float()), y).backward()
            optimizer.step()
    end(model, optimizer, label=way)


if __name__ == "__main__":
    each(sys.argv[1:], main)
