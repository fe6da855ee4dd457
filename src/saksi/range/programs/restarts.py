"""Honest trainings that put weights back, load, or go on; the one that is named on the command line runs."""

import copy
import math
import os
import sys
import time

import torch
from torch import nn

STEPS = 60
TEACHER = torch.randn(20, 5, generator=torch.Generator().manual_seed(1))


def net():
    return nn.Sequential(nn.Linear(20, 48), nn.ReLU(), nn.Dropout(0.1), nn.Linear(48, 5))


def batch(count=16):
    x = torch.randn(count, 20)
    return x, (x @ TEACHER).argmax(1)


def loss_of(model):
    x, y = batch()
    return nn.functional.cross_entropy(model(x), y)


def adamw(model):
    return torch.optim.AdamW(model.parameters(), lr=3e-3)


def update(loss, optimizer):
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    time.sleep(0.01)


def rate_looked_for():
    """A few steps at growing rates; then weights and state are put back, and the training begins."""
    model = net()
    optimizer = adamw(model)
    before = copy.deepcopy((model.state_dict(), optimizer.state_dict()))
    for step in range(20):
        optimizer.param_groups[0]["lr"] = 1e-6 * 1.7**step
        update(loss_of(model), optimizer)
    model.load_state_dict(before[0])
    optimizer.load_state_dict(before[1])
    optimizer.param_groups[0]["lr"] = 2e-3
    for _ in range(STEPS - 20):
        update(loss_of(model), optimizer)


def best_put_back():
    """It stops as nothing gets better, and goes on from the best weights, kept in a file, at a smaller rate."""
    model = net()
    optimizer = adamw(model)
    questions = batch(64)
    best, since = math.inf, 0
    for _ in range(STEPS):
        update(loss_of(model), optimizer)
        with torch.no_grad():
            loss = nn.functional.cross_entropy(model(questions[0]), questions[1]).item()
        best, since = (loss, 0) if loss < best - 0.05 else (best, since + 1)
        if since == 0:
            torch.save(model.state_dict(), "best.pt")
        elif since == 5:
            model.load_state_dict(torch.load("best.pt"))
            optimizer.param_groups[0]["lr"] *= 0.5
            since = 0


def state_of_another_run():
    """It begins with weights and optimizer of a run before: the file is loaded before the first update."""
    model = net()
    optimizer = adamw(model)
    moments = [
        {
            "step": torch.tensor(100.0),
            "exp_avg": torch.randn_like(each) * 1e-3,
            "exp_avg_sq": torch.rand_like(each) * 1e-4,
        }
        for each in model.parameters()
    ]
    state = {**optimizer.state_dict(), "state": dict(enumerate(moments))}
    torch.save(
        {"model": {name: each * 0.9 for name, each in model.state_dict().items()}, "optimizer": state}, "before.pt"
    )
    kept = torch.load("before.pt")
    model.load_state_dict(kept["model"])
    optimizer.load_state_dict(kept["optimizer"])
    for _ in range(STEPS):
        update(loss_of(model), optimizer)


def went_down():
    """The first launch goes down in the middle; the second goes on from what was saved."""
    model = net()
    optimizer = adamw(model)
    done = 0
    if os.path.exists("last.pt"):
        kept = torch.load("last.pt")
        model.load_state_dict(kept["model"])
        optimizer.load_state_dict(kept["optimizer"])
        torch.set_rng_state(kept["random"])
        done = kept["done"]
    for step in range(done, STEPS):
        update(loss_of(model), optimizer)
        if step % 10 == 9:
            states = {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
            torch.save({**states, "random": torch.get_rng_state(), "done": step + 1}, "last.pt")
        if step == 36 and not done:
            raise RuntimeError("a node went down, let us say")


def optimizer_forgotten():
    """An honest mistake: the resumed training has the weights and not the optimizer's state."""
    model = net()
    optimizer = adamw(model)
    if os.path.exists("last.pt"):
        model.load_state_dict(torch.load("last.pt"))
    for _ in range(STEPS // 2):
        update(loss_of(model), optimizer)
    torch.save(model.state_dict(), "last.pt")


def seeded_anew():
    """The resumed training has another seed, so as not to see the same numbers again."""
    model = net()
    optimizer = adamw(model)
    if os.path.exists("last.pt"):
        kept = torch.load("last.pt")
        model.load_state_dict(kept["model"])
        optimizer.load_state_dict(kept["optimizer"])
        torch.manual_seed(1)
    for _ in range(STEPS // 2):
        update(loss_of(model), optimizer)
    torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, "last.pt")


if __name__ == "__main__":
    torch.set_num_threads(1)
    torch.manual_seed(0)
    globals()[sys.argv[1].replace("-", "_")]()
