"""Real DataLoaders under `saksi run`: of honest ones there is nothing to say, a sampler that repeats is told."""

from __future__ import annotations

import sys

import pytest

from saksi_run import Home
from torch_loaded import LOADED

pytestmark = [pytest.mark.training, pytest.mark.slow]

SCRIPT = (
    LOADED
    + """
import sys, torch
from torch.utils.data import DataLoader, Dataset, DistributedSampler, RandomSampler, TensorDataset
cases, workers = sys.argv[1].split(","), int(sys.argv[2])
torch.manual_seed(3); torch.set_num_threads(1)
original = RandomSampler.__iter__
def repeating(self):
    order = list(original(self))
    order[-len(order) // 10:] = order[: len(order) // 10]
    yield from order
def constant(self):
    yield from torch.randperm(len(self.data_source), generator=torch.Generator().manual_seed(7)).tolist()
def short(self):
    yield from list(original(self))[:72]
if cases[0] in ("repeating", "constant", "short"):
    RandomSampler.__iter__ = globals()[cases[0]]

class Sorting(Dataset):
    def __len__(self):
        return 80
    def __getitem__(self, index):
        return torch.full((2,), index / 80)
    def __getitems__(self, indices):
        indices.sort()  # as datasets in one large file do
        return [self[index] for index in indices]

kept = {"num_workers": workers, "persistent_workers": workers > 0}
samples = torch.arange(160.0).view(80, 2)
data = TensorDataset(samples)
share = DistributedSampler(data, num_replicas=3, rank=2, seed=4)
loaders = {
    "own_generator": lambda: DataLoader(data, 8, shuffle=True, generator=torch.Generator().manual_seed(5), **kept),
    "share": lambda: DataLoader(data, 8, sampler=share, **kept),
    "drop_last": lambda: DataLoader(data, 9, shuffle=True, drop_last=True, **kept),
    "single": lambda: DataLoader(data, None, shuffle=True, **kept),
    "sorting": lambda: DataLoader(Sorting(), 8, shuffle=True, **kept),
    "anew": lambda: DataLoader(data, 8, shuffle=True, num_workers=workers),
    "weighted": lambda: DataLoader(data, 8, sampler=torch.utils.data.WeightedRandomSampler([1.0] * 80, 80), **kept),
}
model = torch.nn.Linear(2, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
held_out = DataLoader(data, 16)

def backward(batch):
    optimizer.zero_grad()
    model(batch if torch.is_tensor(batch) else batch[0]).mean().backward()

for case in cases:
    loader = loaders.get(case, lambda: DataLoader(data, 8, shuffle=True, **kept))()
    for epoch in range(4):
        share.set_epoch(epoch)
        for number, batch in enumerate(loader):
            backward(batch)
            optimizer.step()
            if epoch == 1 and number == 3:
                break  # with workers, batches that were fetched ahead are thrown away
        if epoch == 3 and case == "edited":
            samples[40] += 1
        for batch in held_out:
            backward(batch)
        optimizer.step()
"""
)
HONEST = "plain,own_generator,share,drop_last,single,sorting,anew"
ORDER, AGAIN, MISSING = "data.order_differs", "data.sample_repeated", "data.sample_missing"
TOLD = {
    "repeating": {ORDER: 9, AGAIN: 9, MISSING: 9},
    "constant": {ORDER: 0},
    "short": {MISSING: 8},
}


SOURCE, CONTENT = "data.source_changed", "data.content_changed"


def findings(folder, case, workers):
    (folder / "train.py").write_text(SCRIPT)
    home = Home(folder)
    done = home.run(
        "run", "--overhead-budget", "100", "--", sys.executable, str(folder / "train.py"), case, str(workers)
    )
    assert done.returncode == 0, done.stderr
    found = [each for each in home.json("findings", "last")["items"] if not each["code"].startswith("live.")]
    sources = [each for each in found if each["code"] == SOURCE]
    assert {each["severity"] for each in sources} == {"info"}  # the script trains on what it holds out, too
    return [each for each in found if each["code"] != SOURCE]


@pytest.mark.parametrize("workers", [0, 2])
def test_honest_loaders_are_nothing_to_speak_of(tmp_path, workers):
    assert findings(tmp_path, HONEST, workers) == []


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("case", TOLD)
def test_a_sampler_that_does_otherwise_is_told_at_its_first_step(tmp_path, case, workers):
    found = findings(tmp_path, case, workers)
    assert {each["code"]: each["first_step"] for each in found} == TOLD[case]
    assert {(each["severity"], each["alleges"], each["subject"]) for each in found} == {
        ("warning", "unknown", "loader 0: RandomSampler")
    }


def test_a_held_out_sample_that_is_edited_is_told_where_its_batch_had_stood_still(tmp_path):
    found = findings(tmp_path, "edited", 0)
    told = {severity: [each for each in found if each["severity"] == severity] for severity in ("warning", "info")}
    assert [(each["code"], each["subject"]) for each in told["warning"]] == [(CONTENT, "loader 1: SequentialSampler")]
    # The edited sample may be one that the key of the process draws of its batch: then it is told by itself, too.
    assert {each["code"] for each in told["info"]} <= {CONTENT}
    assert len(found) == 1 + len(told["info"])


def test_a_sampler_that_may_hand_out_anything_is_said_once(tmp_path):
    found = findings(tmp_path, "weighted", 0)
    assert [(each["code"], each["severity"]) for each in found] == [("data.not_recomputed", "info")]
