"""Distributed training over gloo, as named on the command line; started by torchrun or by itself, anew or forked."""

import sys
import time

import torch
import torch.distributed as dist
import torch.multiprocessing
from outcome import begin, end
from torch import nn
from torch.distributed.fsdp import fully_shard
from torch.nn.parallel import DistributedDataParallel

STEPS = 12


def train(way, **meeting):
    begin()
    dist.init_process_group("gloo", **meeting)
    rank = dist.get_rank()
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 4))
    if way == "fsdp":
        for layer in model:
            if isinstance(layer, nn.Linear):
                fully_shard(layer)
        wrapped = fully_shard(model)
    else:
        wrapped = DistributedDataParallel(model)
    optimizer = torch.optim.AdamW(wrapped.parameters(), lr=1e-2)
    torch.manual_seed(100 + rank)
    for _ in range(STEPS):
        optimizer.zero_grad()
        nn.functional.cross_entropy(wrapped(torch.randn(8, 8)), torch.randint(4, (8,))).backward()
        nn.utils.clip_grad_norm_(wrapped.parameters(), 1.0)
        optimizer.step()
    end(model, optimizer, label=f"rank {rank}")
    dist.barrier()
    dist.destroy_process_group()
    time.sleep(0.2)  # what gloo's threads still hold is let go of before the interpreter ends (tests/torch_loaded.py)


def spawned(rank, way, size, meeting):
    """No variable tells this process its rank: only the group does, once it is there."""
    train(way, init_method=f"file://{meeting}", rank=rank, world_size=size)


def main():
    way, *alone = sys.argv[1:]
    if not alone:
        train(way)
        return
    size, meeting, method = int(alone[0]), alone[1], alone[2]
    torch.multiprocessing.start_processes(spawned, (way, size, meeting), nprocs=size, start_method=method)


if __name__ == "__main__":
    main()
