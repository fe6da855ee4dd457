"""Under torch.compile: the same graphs, the same breaks, the same weights, and the steps are still seen."""

from __future__ import annotations

import json
import shutil

import pytest

from recorder.listener import environment, kinds, run
from torch_loaded import LOADED

pytestmark = [
    pytest.mark.training,
    pytest.mark.slow,
    pytest.mark.timeout(300),
]

SCRIPT = (
    LOADED
    + r"""
import hashlib, json, os, sys
import torch
import torch._dynamo.convert_frame
compiling, files = torch._dynamo.convert_frame._compile, []
def _compile(code, *args, **kwargs):
    files.append(code.co_filename)
    return compiling(code, *args, **kwargs)
torch._dynamo.convert_frame._compile = _compile
torch.set_num_threads(1)
torch.manual_seed(0)
model = torch.nn.Sequential(torch.nn.Linear(16, 32), torch.nn.GELU(), torch.nn.Linear(32, 1))
parameters = list(model.parameters())
optimizer = torch.optim.AdamW(parameters, lr=1e-2, foreach=True)
backend = os.environ.get("BACKEND", "inductor")
kind = os.environ["KIND"]
if kind == "model":
    compiled = torch.compile(model, backend=backend)
    def step(x):
        compiled(x).square().mean().backward()
        torch.nn.utils.clip_grad_norm_(parameters, 0.05)
        optimizer.step()
elif kind == "update":
    @torch.compile(backend=backend)
    def update():
        torch.nn.utils.clip_grad_norm_(parameters, 0.05)
        optimizer.step()
    def step(x):
        model(x).square().mean().backward()
        update()
elif kind == "step":
    update = torch.compile(optimizer.step, backend=backend)
    def step(x):
        model(x).square().mean().backward()
        torch.nn.utils.clip_grad_norm_(parameters, 0.05)
        update()
elif kind == "fullgraph":
    clip = torch.compile(lambda: torch.nn.utils.clip_grad_norm_(parameters, 0.05), fullgraph=True, backend=backend)
    def step(x):
        model(x).square().mean().backward()
        clip()
        optimizer.step()
else:
    @torch.compile(backend=backend)
    def step(x):
        model(x).square().mean().backward()
        torch.nn.utils.clip_grad_norm_(parameters, 0.05)
        optimizer.step()
        optimizer.zero_grad(set_to_none=False)
for i in range(5):
    step(torch.randn(8, 16))
    optimizer.zero_grad(set_to_none=False)
from torch._dynamo.utils import counters
print(json.dumps({
    "weights": hashlib.sha256(b"".join(p.detach().numpy().tobytes() for p in parameters)).hexdigest(),
    "breaks": sum(counters["graph_break"].values()),
    "graphs": counters["stats"].get("unique_graphs"),
    "ours": sum("saksi_recorder" in file for file in files),
    "frames": dict(counters["frames"]),
}))
"""
)


@pytest.mark.parametrize("kind", ["model", "update", "step", "fullgraph", "everything"])
def test_graphs_breaks_and_weights_are_the_same(agent, tmp_path, kind):
    backend = "inductor" if kind == "model" else "aot_eager"
    assert shutil.which("g++") is not None, "inductor calls a C++ compiler: install g++"
    more = {"KIND": kind, "BACKEND": backend, "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "cache")}
    plain = json.loads(run(SCRIPT, environment(None, PYTHONPATH="", **more)).stdout)
    done = run(SCRIPT, environment(tmp_path / "s", **more))
    seen = json.loads(done.stdout)
    agent.drain()
    frames = agent.frames()
    assert not kinds(frames, "Fault")
    assert len(kinds(frames, "Update")) == 5
    if kind in {"model", "fullgraph"}:
        assert seen == plain
    # Where dynamo traces `Optimizer.step` itself, it leaves torch's hook-calling wrapper to the interpreter because of
    # our hooks and compiles what is inside: the same graphs, one break fewer, more frames looked at.
    assert (seen["weights"], seen["graphs"]) == (plain["weights"], plain["graphs"])
    assert seen["breaks"] <= plain["breaks"]
    assert seen["ours"] == 0
    # A backward called from a compiled function breaks its graph, and reaches our wrapper as a frame of its own.
    assert [update.losses for update in kinds(frames, "Update")][1:] == [1] * 4
