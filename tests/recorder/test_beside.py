"""Averages and target networks lie under a state root; what a fine-tuning leaves alone, and copies, do not."""

from __future__ import annotations

import base64

import pytest

from recorder.listener import environment, kinds, run
from torch_loaded import LOADED

pytestmark = pytest.mark.training

BEGIN = (
    LOADED
    + """
import copy, hashlib, os, torch
from torch.optim.swa_utils import AveragedModel
torch.set_num_threads(1)
model = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.Linear(3, 1))
def sgd(): return torch.optim.SGD(model.parameters(), lr=0.1)
def step(optimizer):
    optimizer.zero_grad()
    model(torch.ones(2, 3)).sum().backward()
    optimizer.step()
def digest(tensor): return hashlib.sha256(tensor.detach().numpy().tobytes()).hexdigest()
"""
)


def keys_and_leaves(agent, tmp_path, script):
    """What the last root covers, by key, and what the script printed."""
    done = run(BEGIN + script, environment(tmp_path / "s"), cwd=tmp_path)
    agent.drain(1)
    frames = agent.frames(0)
    assert not kinds(frames, "Fault")
    root = kinds(frames, "Root")[-1]
    (lines,) = (frame.lines for frame in kinds(frames, "Layout") if frame.layout == root.layout)
    content = base64.b64decode(root.leaves)
    found = {line[0]: content[32 * at : 32 * at + 32].hex() for at, line in enumerate(lines)}
    return {key: leaf for key, leaf in found.items() if not key[0].isdigit()}, done.stdout.split()


def test_an_average_is_bound_with_its_values(agent, tmp_path):
    script = """
average = AveragedModel(model)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for _ in range(2):
    step(optimizer); average.update_parameters(model)
print(*(digest(one) for one in average.module.parameters()))
"""
    found, said = keys_and_leaves(agent, tmp_path, script)
    names = ["0.weight", "0.bias", "1.weight", "1.bias"]
    assert list(found) == ["buffer/1/n_averaged", *(f"beside/1/module.{name}" for name in names)]
    assert [found[f"beside/1/module.{name}"] for name in names] == said


def test_a_target_network_of_the_same_form_is_bound(agent, tmp_path):
    script = """
target = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.Linear(3, 1))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
step(optimizer)
"""
    found, _ = keys_and_leaves(agent, tmp_path, script)
    assert list(found) == ["beside/1/0.weight", "beside/1/0.bias", "beside/1/1.weight", "beside/1/1.bias"]


@pytest.mark.parametrize(
    "script",
    [
        "kept = copy.deepcopy(model); optimizer = torch.optim.SGD(model.parameters(), lr=0.1)",
        "optimizer = torch.optim.SGD(model[1].parameters(), lr=0.1)",
        "other = torch.nn.Sequential(torch.nn.Linear(3, 4)); optimizer = torch.optim.SGD(model.parameters(), lr=0.1)",
        "model, other = torch.nn.Linear(3, 3), torch.nn.Sequential(torch.nn.Linear(3, 3)); optimizer = sgd()",
        "other = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.Linear(3, 1)).share_memory(); optimizer = sgd()",
    ],
    ids=["a copy", "layers that are left alone", "a model of another form", "a name of one word", "shared memory"],
)
def test_what_stands_beside_nothing_that_is_trained_is_not_bound(agent, tmp_path, script):
    found, _ = keys_and_leaves(agent, tmp_path, script + "\nstep(optimizer)\n")
    assert found == {}


def test_an_average_of_a_single_layer_is_bound(agent, tmp_path):
    script = """
model = torch.nn.Linear(3, 1)
average = AveragedModel(model)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
step(optimizer)
"""
    found, _ = keys_and_leaves(agent, tmp_path, script)
    assert [key for key in found if key.startswith("beside/")] == ["beside/1/module.weight", "beside/1/module.bias"]


def test_names_that_wrapping_puts_before_a_model_do_not_matter(agent, tmp_path):
    script = """
torch.distributed.init_process_group("gloo", init_method="file://" + os.getcwd() + "/meeting", rank=0, world_size=1)
target = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.Linear(3, 1))
model = torch.nn.parallel.DistributedDataParallel(model)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
step(optimizer)
torch.distributed.destroy_process_group()
"""
    found, _ = keys_and_leaves(agent, tmp_path, script)
    assert [key.split("/")[2] for key in found] == ["0.weight", "0.bias", "1.weight", "1.bias"]


def test_parameters_that_have_no_shape_yet_are_passed_over(agent, tmp_path):
    script = """
lazy = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.LazyLinear(1))
target = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.LazyLinear(1))
optimizer = torch.optim.SGD([*lazy.parameters()], lr=0.1)
lazy[0].weight.grad = torch.zeros(3, 3)
optimizer.step()
"""
    found, _ = keys_and_leaves(agent, tmp_path, script)
    assert {"beside/2/0.weight", "beside/2/0.bias"} <= set(found)


def test_the_digests_of_what_is_trained_go_before_averages(agent, tmp_path):
    script = """
model = torch.nn.Sequential(*(torch.nn.Linear(1, 1) for _ in range(350)))
average = AveragedModel(model)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
optimizer.step()
"""
    run(BEGIN + script, environment(tmp_path / "s"), cwd=tmp_path)
    agent.drain(1)
    frames = agent.frames(0)
    root = kinds(frames, "Root")[-1]
    assert (root.tensors, root.leaves is not None) == (701, True)
    assert "averages beside what is trained" in {frame.what for frame in kinds(frames, "Uncovered")}
