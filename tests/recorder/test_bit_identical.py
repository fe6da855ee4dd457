"""With and without the recorder, at either level, training ends in the same bits: weights, optimizer, generators, files."""

# ruff: noqa: E501  (scripts that run elsewhere are quoted as they are)

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from recorder.listener import Listener, environment, kinds, run
from torch_loaded import LOADED

pytestmark = [pytest.mark.training, pytest.mark.slow]

# Each variant trains in a forked child, so that each is the first optimizer of a process and is recorded in full.
SCRIPT = (
    LOADED
    + r"""
import copy, hashlib, itertools, json, os, random, sys
import numpy, torch
from torch.utils.data import DataLoader, TensorDataset
torch.set_num_threads(1)

class Noisy(TensorDataset):
    def __getitem__(self, index):
        x, y = super().__getitem__(index)
        return x + random.random() + torch.rand(()) * 0.01, y

def train(name, kernel, workers):
    torch.manual_seed(1); random.seed(2); numpy.random.seed(3)
    model = torch.nn.Sequential(torch.nn.Conv1d(1, 4, 3), torch.nn.BatchNorm1d(4), torch.nn.Flatten(),
        torch.nn.Dropout(0.2), torch.nn.Linear(24, 1)).to(memory_format=torch.contiguous_format)
    more = {"momentum": 0.9} if name == "SGD" else {}
    more.update({"single": {"foreach": False}, "foreach": {"foreach": True}, "fused": {"fused": True}}[kernel])
    optimizer = getattr(torch.optim, name)(model.parameters(), lr=1e-2, **more)
    average = torch.optim.swa_utils.AveragedModel(model, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.9), use_buffers=True)
    copied = copy.deepcopy(model)
    data = Noisy(torch.arange(8 * 40.).view(40, 1, 8) / 50, torch.arange(40.).view(40, 1))
    loader = DataLoader(data, batch_size=4, shuffle=True, num_workers=workers)
    losses = []
    for epoch in range(2):
        for x, y in loader:
            optimizer.zero_grad()
            loss = torch.nn.functional.mse_loss(model(x), y)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            average.update_parameters(model)
            with torch.no_grad():
                for mine, its in zip(copied.parameters(), model.parameters()): mine.mul_(0.8).add_(its, alpha=0.2)
            losses.append(loss.item())
    h = hashlib.sha256(json.dumps(losses).encode())
    for t in list(model.state_dict().values()) + list(average.state_dict().values()) + list(copied.state_dict().values()) + [v for s in optimizer.state_dict()["state"].values() for v in s.values() if torch.is_tensor(v)]:
        h.update(t.numpy().tobytes())
    h.update(repr(random.getstate()).encode()); h.update(repr(numpy.random.get_state()).encode()); h.update(torch.get_rng_state().numpy().tobytes())
    path = os.environ["FOLDER"] + "/ckpt.pt"
    torch.save(model.state_dict(), path)
    h.update(open(path, "rb").read())
    with open(path, "wb") as stream:
        torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, stream)
    h.update(open(path, "rb").read())
    with open(path, "wb") as stream:
        torch.save(model.state_dict(), stream, _use_new_zipfile_serialization=False)
    h.update(open(path, "rb").read()[:200])
    return h.hexdigest()

variants = [(*pair, 0) for pair in itertools.product(("SGD", "Adam", "AdamW"), ("single", "foreach", "fused"))]
variants += [("AdamW", "foreach", 2)]
for variant in variants[int(os.environ.get("FROM", "0")):]:
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writing, train(*variant).encode())
        sys.exit(0)
    os.close(writing)
    os.waitpid(child, 0)
    print(json.dumps([*variant, os.read(reading, 100).decode()]))
    os.close(reading)
"""
)
TRAINING_ONLY = Path(__file__).parents[2] / ".venv-train" / "bin" / "python"


def results(tmp_path, level, python, first=0):
    more = {"FOLDER": str(tmp_path), "FROM": str(first)}
    if level == "off":
        return run(SCRIPT, environment(None, PYTHONPATH="", **more), python=python).stdout
    variants = 10 - first
    with Listener(tmp_path / "s") as agent:
        done = run(SCRIPT, environment(tmp_path / "s", SAKSI_LEVEL=level, **more), python=python)
        agent.drain(variants + 1)
        every = [agent.frames(i) for i in range(len(agent.connections))]
    (tmp_path / "s").unlink()
    assert [frames[0].forked for frames in every] == [False] + [True] * variants
    assert not [fault for frames in every for fault in kinds(frames, "Fault")]
    for frames in every[1:]:
        assert frames[-1].updates == [len(kinds(frames, "Update"))] == [20]
        # At attach, the steps, the saved file; at exit the function that held the model has returned.
        assert len(kinds(frames, "Root")) == (22 if level == "full" else 4)
        assert len({each.layout for each in kinds(frames, "Average")}) == len(kinds(frames, "Averaged")) == 1
        assert len(kinds(frames, "Average")) == 19  # of both averages; nothing comes behind the last update
        assert kinds(frames, "Uncovered") == []  # the saved file's root is of the last Step
    return done.stdout


@pytest.mark.timeout(300)
def test_training_ends_in_the_same_bits(tmp_path):
    plain = results(tmp_path, "off", sys.executable)
    assert len({json.loads(line)[-1] for line in plain.splitlines()}) >= 6
    assert results(tmp_path, "standard", sys.executable) == plain
    assert results(tmp_path, "full", sys.executable) == plain


def test_an_environment_without_saksi_is_recorded_and_ends_in_the_same_bits(tmp_path):
    assert TRAINING_ONLY.exists(), "run `make setup`"
    plain = results(tmp_path, "off", str(TRAINING_ONLY), first=7)
    assert results(tmp_path, "full", str(TRAINING_ONLY), first=7) == plain
