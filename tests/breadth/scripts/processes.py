"""Training in processes that the script starts itself, in the way that is named on the command line."""

import multiprocessing
import os
import subprocess
import sys

import torch
from outcome import begin, end
from torch import nn


def train(label="outcome", seed=0):
    begin()
    torch.manual_seed(seed)
    model = nn.Linear(6, 3)
    optimizer = torch.optim.AdamW(model.parameters())
    for _ in range(12):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(torch.randn(8, 6)), torch.randint(3, (8,))).backward()
        optimizer.step()
    end(model, optimizer, label=label)


def processes(method):
    context = multiprocessing.get_context(method)
    for seed in range(2):  # one after the other, so that the lines come in one order
        one = context.Process(target=train, args=(f"child {seed}", seed))
        one.start()
        one.join()


def of_multiprocessing_fork():
    processes("fork")


def of_multiprocessing_spawn():
    processes("spawn")


def of_multiprocessing_forkserver():
    processes("forkserver")


def of_subprocess():
    subprocess.run([sys.executable, __file__, "train"], check=True)


def of_fork():
    child = os.fork()
    if child == 0:
        train("child")
        sys.exit(0)
    os.waitpid(child, 0)
    train("parent")


def beside_a_pool():
    """The parent trains; its pool prepares data with torch and never trains."""
    with multiprocessing.get_context("fork").Pool(2) as pool:
        sys.stdout.write(f"{sum(pool.map(torch.arange(6).sum().add, range(3)))}\n")
        train("parent")


if __name__ == "__main__":
    globals()[sys.argv[1]]()
