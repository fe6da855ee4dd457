"""Real training under `saksi run` that reports its loss to a stand-in tracker: honestly, or smaller from a step on."""

from __future__ import annotations

import sys

import pytest

from recorder.trackers import write
from saksi_run import Home
from torch_loaded import LOADED

pytestmark = [pytest.mark.training, pytest.mark.slow]

SCRIPT = (
    LOADED
    + """
import os, sys
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "trackers"))
import torch, wandb
from torch.utils.data import DataLoader, TensorDataset
torch.manual_seed(3); torch.set_num_threads(1)
case = sys.argv[1]
inputs = torch.randn(96, 6)
data = TensorDataset(inputs, inputs.sum(1, keepdim=True) + torch.randn(96, 1))
loader, held_out = DataLoader(data, 8, shuffle=True), DataLoader(TensorDataset(*data[:40]), 10)
model = torch.nn.Linear(6, 1)
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
loss_of, run, step, average = torch.nn.functional.mse_loss, wandb.init(), 0, None
for epoch in range(6):
    for x, y in loader:
        loss = loss_of(model(x), y)
        optimizer.zero_grad()
        (loss / 4).backward()
        optimizer.step()
        average = loss.item() if average is None else 0.9 * average + 0.1 * loss.item()
        shown = {"last": loss, "average": average}.get(case, loss.item())
        wandb.log({"train/loss": shown * 0.9 if case == "smaller" and step >= 40 else shown, "lr": 1e-2}, step=step)
        step += 1
    with torch.no_grad():
        losses = [loss_of(model(x), y).item() for x, y in held_out]
        if case == "fewer" and epoch == 4:
            held_out.dataset.tensors = tuple(each[:20] for each in held_out.dataset.tensors)
    run.log({"val/loss": sum(losses) / len(losses)})
"""
)


def findings(folder, case):
    write(folder / "trackers")
    (folder / "train.py").write_text(SCRIPT)
    home = Home(folder)
    done = home.run(
        "run", "--overhead-budget", "100", "--", sys.executable, str(folder / "train.py"), case, timeout=110
    )
    assert done.returncode == 0, done.stderr
    report = home.json("findings", "last")
    assert report["coverage"]["complete"]
    return [each for each in report["items"] if each["code"].startswith("metrics.")]


@pytest.mark.parametrize("case", ["last", "average"])
def test_honest_reports_are_nothing_to_speak_of(tmp_path, case):
    assert findings(tmp_path, case) == []


def test_a_loss_that_is_reported_smaller_is_told_at_its_first_step(tmp_path):
    (found,) = findings(tmp_path, "smaller")
    assert (found["code"], found["severity"], found["alleges"]) == ("metrics.loss_differs", "info", "unknown")
    assert (found["subject"], found["first_step"], found["last_step"]) == ("metric train/loss", 40, 71)
    assert "It was 4 times the loss that backward was called on in 39 reports" in found["message"]
    assert "and is 0.9 times that" in found["message"]


def test_an_evaluation_of_fewer_samples_than_those_before_is_told(tmp_path):
    (found,) = findings(tmp_path, "fewer")
    assert (found["code"], found["severity"]) == ("metrics.evaluation_items_differ", "info")
    assert "with 2 batches of a dataset of 20 samples" in found["message"]
