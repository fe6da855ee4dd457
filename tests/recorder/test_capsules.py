"""Where it is asked for, the whole state behind a Step lies in a file, byte for byte as its root has it."""

from __future__ import annotations

import base64
import hashlib
import json
import struct

import pytest

from recorder.listener import environment, kinds, run
from torch_loaded import LOADED

pytestmark = pytest.mark.training

BEGIN = (
    LOADED
    + """
import os, random, sys, torch
torch.set_num_threads(1)
torch.manual_seed(0)
def train(steps, model, optimizer):
    for _ in range(steps):
        optimizer.zero_grad()
        model(torch.randn(4, 3)).square().mean().backward()
        optimizer.step()
"""
)
PLAIN = (
    BEGIN
    + """
model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4), torch.nn.Linear(4, 1))
optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
train({steps}, model, optimizer)
"""
)


def recorded(agent, tmp_path, script, asked, **more):
    folder = tmp_path / "capsules" / "0"
    done = run(script, environment(tmp_path / "s", SAKSI_CAPSULES=f"{asked}:{folder}", **more), cwd=tmp_path)
    agent.drain(1)
    frames = agent.frames(0)
    assert not kinds(frames, "Fault")
    return done.stdout, frames, folder


def parts(path):
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    return header.pop("__metadata__"), header, content[8 + length :]


def leaves_of(frames, step):
    """Key and digest of each line of the root behind a Step."""
    root = next(each for each in kinds(frames, "Root") if each.step == step)
    lines = [line for each in kinds(frames, "Layout") if each.layout == root.layout for line in each.lines]
    found = base64.b64decode(root.leaves)
    return root, {line[0]: found[32 * at : 32 * at + 32] for at, line in enumerate(lines)}


def test_each_has_what_the_root_of_its_step_binds(agent, tmp_path):
    _, frames, folder = recorded(agent, tmp_path, PLAIN.format(steps=7), "every=3")
    told = kinds(frames, "Capsule")
    assert [each.step for each in told] == [2, 5]
    assert sorted(str(each) for each in folder.iterdir()) == [each.path for each in told]
    for each in told:
        root, leaves = leaves_of(frames, each.step)
        metadata, lines, data = parts(folder / each.path)
        assert (metadata["root"], metadata["layout"], each.root) == (root.root, root.layout, root.root)
        assert (metadata["format"], metadata["rank"], metadata["step"]) == ("saksi.capsule/1", "0", str(each.step))
        found = {key: hashlib.sha256(data[slice(*line["data_offsets"])]).digest() for key, line in lines.items()}
        assert found == leaves
        assert json.loads(metadata["names"])["0/0/0"] == "0.weight"
        assert json.loads(metadata["values"]) == {}
        assert each.size == (folder / each.path).stat().st_size
        assert (folder / each.path).stat().st_mode & 0o777 == 0o600


def test_a_root_is_taken_where_one_is_written_and_nowhere_else(agent, tmp_path):
    _, frames, _ = recorded(agent, tmp_path, PLAIN.format(steps=7), "every=3")
    assert [(each.at, each.step) for each in kinds(frames, "Root")] == [
        ("attach", -1), ("step", 2), ("step", 5), ("exit", 6)
    ]  # fmt: skip


def test_generators_are_whole_and_those_that_the_update_has_digests_of(agent, tmp_path):
    script = (
        BEGIN
        + """
import numpy
numpy.random.seed(3); random.seed(4); own = numpy.random.default_rng(5); own.random()
random.gauss(0, 1); numpy.random.standard_normal()
model = torch.nn.Linear(3, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
loader = torch.utils.data.DataLoader(torch.randn(8, 3), batch_size=4, shuffle=True, generator=torch.Generator())
for batch in loader:
    model(batch).mean().backward(); optimizer.step()
print(__import__("json").dumps([random.getstate(), numpy.random.get_state()[1].tolist(), own.bit_generator.state]))
"""
    )
    said, frames, folder = recorded(agent, tmp_path, script, "every=2")
    (capsule,) = folder.iterdir()
    found = json.loads(parts(capsule)[0]["generators"])
    update = kinds(frames, "Update")[1]
    assert found.keys() == update.rng.keys() >= {"python", "numpy", "torch", "numpy.0", "loader.0"}
    for name in ("torch", "loader.0"):
        assert hashlib.sha256(base64.b64decode(found[name])).hexdigest() == update.rng[name]
    assert [found["python"], found["numpy"][0], found["numpy.0"]] == json.loads(said)
    assert found["python"][2] is not None
    assert found["numpy"][2] == 1


def test_what_generators_are_as_each_epoch_begins_is_in_it(agent, tmp_path):
    script = (
        BEGIN
        + """
import base64, json
model = torch.nn.Linear(3, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
loader = torch.utils.data.DataLoader(torch.randn(6, 3), batch_size=2, shuffle=True)
states = []
for epoch in range(2):
    states.append(base64.b64encode(bytes(torch.get_rng_state())).decode())
    for batch in loader:
        model(batch).mean().backward(); optimizer.step()
print(json.dumps(states))
"""
    )
    said, _, folder = recorded(agent, tmp_path, script, "every=2")
    by_step = {int(path.name.split("-")[1]): json.loads(parts(path)[0]["epochs"]) for path in folder.iterdir()}
    assert {step: [each["torch"] for each in epochs] for step, epochs in by_step.items()} == {
        1: json.loads(said)[:1], 3: json.loads(said), 5: json.loads(said)
    }  # fmt: skip


def test_scalers_and_numbers_of_optimizers_are_in_it(agent, tmp_path):
    script = (
        BEGIN
        + """
class Counting(torch.optim.SGD):
    def step(self, closure=None):
        super().step(closure)
        for group in self.param_groups:
            for p in group["params"]:
                self.state[p]["seen"] = self.state[p].get("seen", 0) + 1
model = torch.nn.Linear(3, 1)
optimizer = Counting(model.parameters(), lr=0.1)
scaler = torch.amp.GradScaler("cpu", init_scale=8.0)
other = torch.amp.GradScaler("cpu", enabled=False)
torch.amp.GradScaler("cpu")  # let go of at once
for _ in range(2):
    optimizer.zero_grad()
    scaler.scale(model(torch.randn(4, 3)).mean()).backward()
    scaler.step(optimizer); scaler.update()
"""
    )
    _, _, folder = recorded(agent, tmp_path, script, "every=2")
    (capsule,) = folder.iterdir()
    metadata, _, _ = parts(capsule)
    assert json.loads(metadata["values"]) == {"0/0/0/seen": 2, "0/0/1/seen": 2}
    first, *others = json.loads(metadata["scalers"])
    assert (first["scale"], first["_growth_tracker"], others) == (8.0, 1, [{}, None])


COMPLEX = """
model = torch.nn.Linear(3, 1).to(torch.complex128)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for _ in range(4): model(torch.randn(2, 3).to(torch.complex128)).abs().mean().backward(); optimizer.step()
"""
INFINITE = """
model = torch.nn.Linear(3, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for p in model.parameters(): optimizer.state[p]["odd"] = float("inf")
train(4, model, optimizer)
"""


@pytest.mark.parametrize(("script", "reason"), [
    (COMPLEX, "tensors of torch.complex128 on cpu have no place in one"),
    (INFINITE, "a number of an optimizer or a scaler is none that can be written"),
], ids=["dtype", "number"])  # fmt: skip
def test_one_that_cannot_be_whole_is_none_and_that_is_said_once(agent, tmp_path, script, reason):
    _, frames, folder = recorded(agent, tmp_path, BEGIN + script, "every=2")
    (told,) = kinds(frames, "Capsule")
    assert (told.path, told.root, told.step) == (None, None, 1)
    assert told.reason == reason
    assert list(folder.iterdir()) == []
    assert len(kinds(frames, "Update")) == 4


def test_a_file_that_cannot_be_written_costs_capsules_alone(agent, tmp_path):
    script = (
        BEGIN
        + """
import resource, signal
model = torch.nn.Linear(300, 300)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
for _ in range(4): model(torch.randn(4, 300)).mean().backward(); optimizer.step()
"""
    )
    _, frames, folder = recorded(agent, tmp_path, script, "every=2")
    (told,) = kinds(frames, "Capsule")
    assert told.reason == "one could not be written: File too large"
    assert list(folder.iterdir()) == []
    assert len(kinds(frames, "Update")) == 4


def test_within_a_budget_they_become_rarer(agent, tmp_path):
    _, frames, folder = recorded(agent, tmp_path, PLAIN.format(steps=900), "budget=60000")
    kept = sorted(int(path.name.split("-")[1]) for path in folder.iterdir())
    assert kept == [399, 799]
    assert sum(path.stat().st_size for path in folder.iterdir()) <= 60_000
    told = [(each.step, each.every, each.path is not None) for each in kinds(frames, "Capsule")]
    assert told == [
        (99, 100, True), (199, 100, True), (299, 200, False), (399, 200, True), (599, 400, False), (799, 400, True)
    ]  # fmt: skip


def test_a_budget_is_shared_by_the_ranks_of_a_machine_and_one_that_is_too_small_has_none(agent, tmp_path):
    script = PLAIN.format(steps=250)
    _, frames, folder = recorded(agent, tmp_path, script, "budget=60000", LOCAL_WORLD_SIZE="4")
    assert [(each.step, each.reason) for each in kinds(frames, "Capsule")] == [
        (99, "one takes more than the budget")
    ]  # fmt: skip
    assert list(folder.iterdir()) == []


def test_room_is_left_on_the_disk(agent, tmp_path):
    script = "import os\nos.statvfs = lambda _: os.statvfs_result((4096, 4096, 9, 9, 250_000, 9, 9, 9, 0, 255))\n"
    _, frames, folder = recorded(agent, tmp_path, BEGIN + script + PLAIN.format(steps=4)[len(BEGIN) :], "every=2")
    (told,) = kinds(frames, "Capsule")
    assert (told.path, told.reason) == (None, "the disk would have less than 1024 MiB left")
    assert list(folder.iterdir()) == []


def test_tensors_that_do_not_lie_in_order_are_in_it_in_c_order(agent, tmp_path):
    script = (
        BEGIN
        + """
model = torch.nn.Linear(3, 4)
model.weight = torch.nn.Parameter(torch.randn(3, 4).t())
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
train(2, model, optimizer)
print(list(model.weight.detach().contiguous().numpy().tobytes()))
"""
    )
    said, _, folder = recorded(agent, tmp_path, script, "every=2")
    (capsule,) = folder.iterdir()
    _, lines, data = parts(capsule)
    assert list(data[slice(*lines["0/0/0"]["data_offsets"])]) == json.loads(said)


def test_training_is_bit_identical_with_and_without(agent, tmp_path):
    script = (
        PLAIN.format(steps=20)
        + """
import hashlib
print(hashlib.sha256(b"".join(p.detach().numpy().tobytes() for p in model.parameters())).hexdigest())
"""
    )
    said, _, _ = recorded(agent, tmp_path, script, "every=1")
    assert run(script, {**environment(tmp_path / "none"), "SAKSI_DISABLE": "1"}, cwd=tmp_path).stdout == said


@pytest.mark.parametrize("asked", ["every=x", "sometimes=3", "every=3:relative"])
def test_a_wish_of_another_form_is_a_fault_of_that_part_alone(agent, tmp_path, asked):
    run(PLAIN.format(steps=2), environment(tmp_path / "s", SAKSI_CAPSULES=asked), cwd=tmp_path)
    agent.drain(1)
    frames = agent.frames(0)
    assert [each.where for each in kinds(frames, "Fault")] == ["install.capsules"]
    assert len(kinds(frames, "Update")) == 2
