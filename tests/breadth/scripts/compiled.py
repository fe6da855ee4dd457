"""Something under `torch.compile`, in each of the ways that are named on the command line behind the backend.

Says the graphs and the breaks as well, which dynamo counts for each process.
"""

import sys

import torch
import torch._dynamo.convert_frame
from outcome import begin, end, own
from torch import nn
from torch._dynamo.backends.registry import lookup_backend
from torch._dynamo.utils import counters

backend, *names = sys.argv[1:]
lookup_backend(backend)  # loaded once for all of them
way = own(names)
begin()
model = nn.Sequential(nn.Linear(16, 32), nn.GELU(), nn.Linear(32, 1))
parameters = list(model.parameters())
optimizer = torch.optim.AdamW(parameters, lr=1e-2, foreach=True)


def clip(_=None):
    nn.utils.clip_grad_norm_(parameters, 0.05)


def step(_=None):
    optimizer.step()


def update(_=None):
    clip()
    optimizer.step()


def loss_of(x):
    return model(x).square().mean()


def backward(x):
    loss_of(x).backward()


def whole(x):
    backward(x)
    update()


def without_argument(call):
    return lambda _: call()


def ways(compiled):
    """What one training step consists of; `compiled` is torch.compile with the backend asked for."""
    forward = {
        "model": lambda: compiled(model),
        "model_fullgraph": lambda: compiled(model, fullgraph=True),
        "loss": lambda: compiled(loss_of, fullgraph=True),
    }
    if way in forward:
        faster = forward[way]()
        return [lambda x: faster(x).square().mean().backward(), update]
    return {
        "optimizer_step": lambda: [backward, clip, without_argument(compiled(optimizer.step))],
        "step": lambda: [backward, clip, compiled(step)],
        "clip": lambda: [backward, compiled(clip), step],
        "clip_fullgraph": lambda: [backward, compiled(clip, fullgraph=True), step],
        "update": lambda: [backward, compiled(update)],
        "backward": lambda: [compiled(backward), update],
        "whole": lambda: [compiled(whole)],
    }[way]()


steps = ways(lambda what, **more: torch.compile(what, backend=backend, **more))
for _ in range(6):
    x = torch.randn(8, 16)
    for each in steps:
        each(x)
    optimizer.zero_grad(set_to_none=False)
end(model, optimizer, label=way)
breaks = sum(counters["graph_break"].values())
sys.stdout.write(f"{way}: {counters['stats'].get('unique_graphs')} graphs, {breaks} breaks\n")
