"""When a state root is taken, and where it is said that none could be."""

from __future__ import annotations

import base64
import hashlib
import json

import pytest

from recorder.listener import environment, kinds, run
from torch_loaded import LOADED

pytestmark = pytest.mark.training

BEGIN = (
    LOADED
    + """
import gc, hashlib, io, json, os, sys, threading, torch
torch.set_num_threads(1)
def net(buffer=False):
    model = torch.nn.Linear(3, 1)
    if buffer: model.register_buffer("count", torch.arange(3.0))
    return model
def sgd(model): return torch.optim.SGD(model.parameters(), lr=0.1)
def step(model, optimizer):
    optimizer.zero_grad()
    model(torch.ones(2, 3)).sum().backward()
    optimizer.step()
def digests(tensors): return [hashlib.sha256(t.detach().numpy().tobytes()).hexdigest() for t in tensors]
"""
)


def recorded(agent, tmp_path, script, **more):
    done = run(BEGIN + script, environment(tmp_path / "s", **more), cwd=tmp_path)
    agent.drain(1)
    frames = agent.frames(0)
    assert not kinds(frames, "Fault")
    return done.stdout, frames


def roots(frames):
    return [(root.at, root.step) for root in kinds(frames, "Root")]


def uncovered(frames):
    return {one.what: one.reason for one in kinds(frames, "Uncovered")}


def leaves(root):
    found = base64.b64decode(root.leaves)
    return [found[at : at + 32].hex() for at in range(0, len(found), 32)]


IN_A_THREAD = """
model = net(); optimizer = sgd(model); step(model, optimizer)
def save(): torch.save(model.state_dict(), "model.pt")
saving = threading.Thread(target=save); saving.start(); saving.join()
{more}
"""


def test_a_model_checkpoint_saved_beside_the_updates_is_said_and_has_no_root(agent, tmp_path):
    _, frames = recorded(agent, tmp_path, IN_A_THREAD.format(more="step(model, optimizer)"))
    assert [one.action for one in kinds(frames, "Ckpt")] == ["saved"]
    assert roots(frames) == [("attach", -1), ("exit", 1)]
    assert list(uncovered(frames)) == ["the state in a model checkpoint that another thread saved"]


def test_a_model_trained_in_a_thread_that_has_ended_is_saved_with_a_root(agent, tmp_path):
    script = """
model = net()
def train():
    optimizer = sgd(model)
    for _ in range(3): step(model, optimizer)
    return optimizer
kept = []
training = threading.Thread(target=lambda: kept.append(train())); training.start(); training.join()
torch.save(model.state_dict(), "model.pt")
"""
    _, frames = recorded(agent, tmp_path, script)
    assert roots(frames) == [("attach", -1), ("ckpt", 2), ("exit", 2)]
    assert uncovered(frames) == {}


def test_an_asynchronous_distributed_checkpoint_has_no_root(agent, tmp_path):
    script = """
import torch.distributed.checkpoint as dcp
torch.distributed.init_process_group("gloo", init_method="file://" + os.getcwd() + "/meeting", rank=0, world_size=1)
model = net(); optimizer = sgd(model); step(model, optimizer)
dcp.async_save(model.state_dict(), checkpoint_id="folder").result()
step(model, optimizer)
"""
    _, frames = recorded(agent, tmp_path, script)
    assert {one.action for one in kinds(frames, "Ckpt")} == {"saved"}
    assert roots(frames) == [("attach", -1), ("exit", 1)]
    assert list(uncovered(frames)) == ["the state in a model checkpoint that another thread saved"]


def test_updates_that_still_run_in_a_thread_as_the_program_ends_leave_no_torn_root(agent, tmp_path):
    script = """
model = net(); optimizer = sgd(model)
stepped = threading.Event()
def train():
    step(model, optimizer); stepped.set(); threading.Event().wait()
threading.Thread(target=train, daemon=True).start()
stepped.wait()
"""
    _, frames = recorded(agent, tmp_path, script)
    assert roots(frames) == [("attach", -1)]
    assert "another thread" in uncovered(frames)["the state of the last steps"]


def test_buffers_that_are_left_are_not_the_state_of_the_last_step(agent, tmp_path):
    script = """
class Own(torch.optim.SGD):
    def __del__(self): pass  # ours is not called
model = net(buffer=True)
def train():
    optimizer = Own(model.parameters(), lr=0.1)
    for _ in range(3): step(model, optimizer)
train()
"""
    _, frames = recorded(agent, tmp_path, script)
    assert roots(frames) == [("attach", -1)]
    assert uncovered(frames)["the state of the last steps"].endswith("the last root is of step -1")


def test_the_initial_root_is_taken_before_any_optimizer_steps(agent, tmp_path):
    script = """
generator, critic = net(), net()
first, second = sgd(generator), sgd(critic)
print(json.dumps(digests([*generator.parameters(), *critic.parameters()])))
step(critic, second); step(critic, second); step(generator, first)
"""
    said, frames = recorded(agent, tmp_path, script)
    assert roots(frames) == [("attach", -1), ("exit", 0)]
    assert leaves(kinds(frames, "Root")[0]) == json.loads(said)


MADE_ANEW = """
model = net(buffer=True); optimizer = sgd(model)
for _ in range(25):
    criterion = torch.nn.CrossEntropyLoss(weight=torch.ones(2))
    inner = net(buffer=True)
    step(inner, sgd(inner))
    step(model, optimizer)
    del criterion, inner
import saksi_recorder.modules as modules
print(len(modules._ordinals))
"""


def test_what_is_made_anew_in_each_iteration_makes_no_roots_and_is_forgotten(agent, tmp_path):
    said, frames = recorded(agent, tmp_path, MADE_ANEW)
    assert roots(frames) == [("attach", -1), ("step", 9), ("step", 19), ("exit", 24)]
    assert int(said) <= 3
    assert uncovered(frames) == {}


def test_layouts_that_were_said_are_remembered_up_to_a_limit(agent, tmp_path):
    script = """
import saksi_recorder.state as state
state.MAX_LAYOUTS = 4
model = net(); optimizer = sgd(model)
for _ in range(12):
    inner = net()
    inner_optimizer = sgd(inner)
    step(model, optimizer)
print(len(state._said))
"""
    said, frames = recorded(agent, tmp_path, script, SAKSI_LEVEL="full")
    assert int(said) == 4
    known = set()
    for frame in frames:
        known |= {frame.layout} if type(frame).__name__ == "LayoutFrame" else set()
        assert type(frame).__name__ != "RootFrame" or frame.layout in known


def test_the_goodbye_counts_the_first_optimizers_and_says_that_there_were_more(agent, tmp_path):
    script = """
import saksi_recorder.session as session, saksi_recorder.steps as steps
session.MAX_OPTIMIZERS, steps._room[0] = 20, 40
model = net()
kept = [sgd(model)]
for one in range(100):
    optimizer = sgd(model)
    optimizer.step()
kept[0].step()
print(len(session.updates))
"""
    said, frames = recorded(agent, tmp_path, script)
    assert int(said) <= 61
    assert frames[-1].updates == [1] * 20
    assert list(uncovered(frames)) == ["optimizers after the first 20"]


def test_state_that_belongs_to_no_parameter_is_said(agent, tmp_path):
    script = """
class Own(torch.optim.Optimizer):
    def __init__(self, parameters): super().__init__(parameters, {})
    def step(self):
        self.state["global"]["best"] = torch.ones(3)
        for group in self.param_groups:
            for p in group["params"]: self.state[p] = [1, 2]
model = net()
optimizer = Own(model.parameters())
optimizer.step()
"""
    _, frames = recorded(agent, tmp_path, script)
    said = uncovered(frames)
    assert set(said) == {"optimizer state that belongs to no parameter", "optimizer state of class list"}
    assert "global" in said["optimizer state that belongs to no parameter"]


AFTER_THE_LAST_ROOT = """
generator, critic = net(), net()
first = sgd(generator)
for _ in range(10): step(generator, first)
class Own(torch.optim.SGD):
    def __del__(self): pass
def further():
    second = Own(critic.parameters(), lr=0.1)
    for _ in range(4): step(critic, second)
{more}
"""


def test_updates_after_the_last_root_are_said_where_nothing_is_left_to_take_one_of(agent, tmp_path):
    _, frames = recorded(agent, tmp_path, AFTER_THE_LAST_ROOT.format(more="further = further; del first; further()"))
    assert roots(frames) == [("attach", -1), ("step", 9)]
    assert uncovered(frames)["the states between later updates"].startswith("4 updates")


def test_updates_after_the_last_root_are_covered_by_one_as_the_program_lets_go(agent, tmp_path):
    script = """
def train():
    generator, critic = net(buffer=True), net()
    first, second = sgd(generator), sgd(critic)
    for _ in range(10): step(generator, first)
    for _ in range(4): step(critic, second)
    print(json.dumps(digests([*generator.parameters(), *critic.parameters(), generator.count])))
train()
"""
    said, frames = recorded(agent, tmp_path, script)
    assert roots(frames) == [("attach", -1), ("step", 9), ("released", 9)]
    assert leaves(kinds(frames, "Root")[-1]) == json.loads(said)
    assert uncovered(frames) == {}


def test_a_model_that_outlives_the_goodbye_ends_without_a_word(agent, tmp_path):
    script = """
import gc, torch
model = torch.nn.Linear(2, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for _ in range(3):
    model(torch.ones(1, 2)).sum().backward(); optimizer.step()
gc.freeze()  # as programs do that fork workers: it goes when the modules of the interpreter have gone
"""
    done = run(script, environment(tmp_path / "s"))
    agent.drain(1)
    assert done.stderr == ""
    assert roots(agent.frames(0)) == [("attach", -1), ("exit", 2)]


def test_a_tensor_whose_memory_was_let_go_is_named_and_not_read(agent, tmp_path):
    script = """
model = net(); optimizer = sgd(model)
freed, part, wide = torch.ones(64), torch.ones(64), torch.ones(2).expand(1 << 40, 2)
model.register_buffer("freed", freed); model.register_buffer("part", part[8:]); model.register_buffer("wide", wide)
step(model, optimizer)
freed.untyped_storage().resize_(0); part.untyped_storage().resize_(0)
model.register_buffer("fine", torch.arange(6.0).view(2, 3).t().expand(2, 3, 2))
step(model, optimizer)
print(hashlib.sha256(model.fine.contiguous().numpy().tobytes()).hexdigest())
"""
    said, frames = recorded(agent, tmp_path, script)
    assert set(uncovered(frames)) == {"tensors whose memory was let go", "tensors expanded over their own elements"}
    assert leaves(kinds(frames, "Root")[-1])[-1] == said.strip()
    assert len(hashlib.sha256().hexdigest()) == len(said.strip())


LOADS = """
model = net(); optimizer = torch.optim.Adam(model.parameters())
def load(path="model.pt"):
    kept = torch.load(path)
    model.load_state_dict(kept["model"]); optimizer.load_state_dict(kept["optimizer"])
for _ in range(3): step(model, optimizer)
torch.save({{"model": model.state_dict(), "optimizer": optimizer.state_dict()}}, "model.pt")
saved = digests(model.parameters())
{more}
print(json.dumps(saved))
"""


def test_a_load_within_training_has_a_root_as_it_returns_and_as_the_next_update_begins(agent, tmp_path):
    more = (
        "step(model, optimizer); before = digests(model.parameters()); load(); step(model, optimizer)\nsaved += before"
    )
    out, frames = recorded(agent, tmp_path, LOADS.format(more=more))
    assert roots(frames) == [("attach", -1), ("ckpt", 2), ("load", 3), ("resumed", 3), ("exit", 4)]
    saved, (_, ckpt, load, resumed, _) = json.loads(out), kinds(frames, "Root")
    assert ckpt.root == resumed.root != load.root
    assert [leaves(resumed)[0], leaves(load)[0]] == [saved[0], saved[2]]


def test_a_load_just_behind_a_root_needs_no_other_one_before_it(agent, tmp_path):
    _, frames = recorded(agent, tmp_path, LOADS.format(more="load(); step(model, optimizer)"))
    assert roots(frames) == [("attach", -1), ("ckpt", 2), ("resumed", 2), ("exit", 3)]


def test_loads_that_follow_each_other_soon_cost_no_further_roots(agent, tmp_path):
    more = "for _ in range(15): load(); step(model, optimizer)"
    _, frames = recorded(agent, tmp_path, LOADS.format(more=more), SAKSI_SEGMENT="1000")
    assert [one for one in roots(frames) if one[0] in ("load", "resumed")] == [
        ("resumed", 2), ("load", 12), ("resumed", 12),
    ]  # fmt: skip


def test_small_files_and_loads_before_the_first_update_or_after_the_last_one_have_no_root_of_their_own(agent, tmp_path):
    script = """
model = net(); optimizer = sgd(model)
torch.save({}, "small.pt"); torch.save(torch.zeros(100), "large.pt")
torch.load("large.pt"); step(model, optimizer)
torch.save(torch.zeros(()), "tiny.pt")
for _ in range(2): step(model, optimizer)
"""
    _, frames = recorded(agent, tmp_path, script)
    assert [at for at, _ in roots(frames) if at in ("load", "resumed")] == []


def test_what_is_loaded_at_the_end_is_in_the_root_at_the_end(agent, tmp_path):
    out, frames = recorded(agent, tmp_path, LOADS.format(more="step(model, optimizer); load()"))
    assert roots(frames) == [("attach", -1), ("ckpt", 2), ("load", 3), ("exit", 3)]
    assert leaves(kinds(frames, "Root")[-1])[0] == json.loads(out)[0]


def test_loads_within_training_leave_the_same_bits(agent, tmp_path):
    more = """
torch.manual_seed(7); model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Dropout(0.5), torch.nn.Linear(4, 1))
optimizer = torch.optim.Adam(model.parameters())
for number in range(6):
    for _ in range(3): step(model, optimizer)
    torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, "other.pt")
    step(model, optimizer); load("other.pt"); step(model, optimizer)
saved += digests([*model.state_dict().values(), torch.get_rng_state()])
saved += digests([each for one in optimizer.state.values() for each in one.values()])
saved.append(hashlib.sha256(open("other.pt", "rb").read()).hexdigest())
"""
    script = "torch.manual_seed(3)" + LOADS.format(more=more)
    out, frames = recorded(agent, tmp_path, script)
    assert [one for one in roots(frames) if one[0] == "resumed"]
    assert run(BEGIN + script, environment(None, PYTHONPATH=""), cwd=tmp_path).stdout == out
