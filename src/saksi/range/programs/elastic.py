"""Two ranks at first; the launch that goes on has one, with twice the batches, as when a node was given back."""

import os
import subprocess
import sys
import time

if "RANK" not in os.environ:
    ranks = 1 if os.path.exists("last.pt") else 2
    meeting = os.path.abspath(f"meeting-{ranks}")
    started = [
        subprocess.Popen(
            [sys.executable, __file__],
            env={
                **os.environ,
                "RANK": str(each),
                "LOCAL_RANK": str(each),
                "WORLD_SIZE": str(ranks),
                "MEETING": meeting,
            },
        )
        for each in range(ranks)
    ]
    sys.exit(max(abs(each.wait()) for each in started))

import torch
import torch.distributed as dist
from torch import nn
from torch.utils.data import DataLoader, DistributedSampler, TensorDataset

torch.set_num_threads(1)
rank, ranks = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
dist.init_process_group("gloo", init_method=f"file://{os.environ['MEETING']}", rank=rank, world_size=ranks)
torch.manual_seed(0)
source = torch.Generator().manual_seed(1)
inputs = torch.randn(480, 20, generator=source)
data = TensorDataset(inputs, (inputs @ torch.randn(20, 5, generator=source)).argmax(1))
sampler = DistributedSampler(data, num_replicas=ranks, rank=rank, seed=7)
loader = DataLoader(data, batch_size=32 // ranks, sampler=sampler)
model = nn.Sequential(nn.Linear(20, 64), nn.Tanh(), nn.Linear(64, 5))
optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
begun = 0
if os.path.exists("last.pt"):
    kept = torch.load("last.pt")
    model.load_state_dict(kept["model"])
    optimizer.load_state_dict(kept["optimizer"])
    begun = kept["epochs"]
for epoch in range(begun, begun + 2):
    sampler.set_epoch(epoch)
    for x, y in loader:
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        for parameter in model.parameters():
            dist.all_reduce(parameter.grad)
            parameter.grad.div_(ranks)
        optimizer.step()
        time.sleep(0.01)
dist.barrier()
if rank == 0:
    states = {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
    torch.save({**states, "epochs": begun + 2}, "last.pt")
dist.destroy_process_group()
