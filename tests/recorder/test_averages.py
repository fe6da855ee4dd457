"""Averages as the recorder reads them of real torch: at the positions that are said, of what follows, and judged."""

from __future__ import annotations

import hashlib
import json
import struct

import pytest

from recorder.forked import recorded_cases
from recorder.listener import Listener, environment, kinds, run
from saksi.judgement.updates.averages import averaged_layout_of, moved_in
from saksi.judgement.updates.following import pace_of, unit_of
from torch_loaded import LOADED

pytestmark = pytest.mark.training

SCRIPT = r"""
import copy, json, sys
import torch
torch.manual_seed(0); torch.set_num_threads(1)
case = CASE
def numbers(t): return t.detach().double().reshape(-1).tolist()
def net(): return torch.nn.Sequential(torch.nn.Linear(7, 30), torch.nn.Tanh(), torch.nn.Linear(30, 2))
model = net()
if case == "half": model = model.to(torch.bfloat16)
if case == "model":
    holder = torch.optim.swa_utils.AveragedModel(model, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.9))
    average = holder.module
elif case == "copy":
    average = holder = copy.deepcopy(model)
elif case == "half":
    average = holder = copy.deepcopy(model).float()
elif case == "built":
    average = holder = net()
    average.load_state_dict(model.state_dict())
elif case == "within":
    holder = torch.nn.Module()
    holder.target, holder.online = copy.deepcopy(model), model
    average = holder.target
elif case == "frozen":
    average = holder = copy.deepcopy(model)
elif case == "none":
    average = holder = torch.nn.Linear(3, 3)
optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
x = torch.randn(5, 7)
for step in range(6):
    if case == "made anew" and step == 0:
        average = holder = copy.deepcopy(model)
    out = model(x.to(model[0].weight.dtype))
    optimizer.zero_grad(); out.float().square().mean().backward()
    start = {n: numbers(p) for n, p in model.named_parameters()}
    before = {n: numbers(p) for n, p in average.named_parameters()}
    optimizer.step()
    end = {n: numbers(p) for n, p in model.named_parameters()}
    if case == "model": holder.update_parameters(model)
    elif case not in ("frozen", "none"):
        with torch.no_grad():
            for a, p in zip(average.parameters(), model.parameters()): a.mul_(0.9).add_(p, alpha=0.1)
    after = {n: numbers(p) for n, p in average.named_parameters()}
    print(json.dumps({"start": start, "end": end, "before": before, "after": after}))
"""
FOLLOW = {"model": "module 1", "copy": "copy 0", "half": "copy 0", "built": "module 1", "within": "module 0"}
STILL = ("frozen", "none")
PREFIX = {"model": "module.", "within": "target."}


@pytest.fixture(scope="module")
def every(tmp_path_factory):
    """Every case in a forked child; `test_copies_are_in_no_root` has one in a process that does not fork."""
    return recorded_cases(SCRIPT, [*FOLLOW, *STILL], tmp_path_factory.mktemp("cases"))


def recorded(every, case):
    frames, output = every[case]
    assert not kinds(frames, "Fault")
    return frames, [json.loads(line) for line in output.splitlines()]


def positions(key, layout, name, update):
    total = sum(each.count for each in layout.tensors)
    seed = bytes.fromhex(key) + b"saksi.average/v1" + struct.pack("<QQ", layout.optimizer, update)
    words = struct.unpack(f"<{total}Q", hashlib.shake_256(seed + bytes.fromhex(name)).digest(8 * total))
    at = 0
    for each in layout.tensors:
        yield each, [(word & (2**63 - 1)) % each.size for word in words[at : at + each.count]]
        at += each.count


@pytest.mark.parametrize("case", FOLLOW)
def test_what_follows_is_read_as_the_script_read_it_at_those_positions(every, case):
    frames, said = recorded(every, case)
    key = kinds(frames, "Hello")[0].fingerprint_key
    layouts = {each.layout: averaged_layout_of(each) for each in kinds(frames, "Averaged")}
    samples = kinds(frames, "Average")
    assert [each.update for each in samples] == [0, 1, 2, 3, 4]  # nothing comes behind the last
    for frame in samples:
        layout, script = layouts[frame.layout], said[frame.update]
        assert layout.since == 0
        drawn = {each.name: at for each, at in positions(key, layout, frame.layout, frame.update)}
        assert frame.later == ""
        names = set()
        for moved in moved_in(layout, frame):
            at, own = drawn[moved.tensor.name], moved.tensor.name.removeprefix(PREFIX.get(case, ""))
            names.add(own)
            assert moved.tensor.module == FOLLOW[case]
            assert moved.before == tuple(script["before"][own][place] for place in at)
            assert moved.after == tuple(script["after"][own][place] for place in at)
            assert moved.parameters[0] == tuple(script["end"][own][place] for place in at)
            assert moved.parameters[-1] == tuple(script["start"][own][place] for place in at)
            step = pace_of(moved.before, moved.after, moved.parameters[0], unit_of(*layout.dtypes))
            assert step.pace is not None
            if case != "half":
                assert step.pace.low <= (1.0 if case == "model" and frame.update == 0 else 0.1) * 1.01
        assert names == {"0.weight", "0.bias", "2.weight", "2.bias"}


@pytest.mark.parametrize("case", STILL)
def test_of_what_stands_still_or_follows_nothing_nothing_is_said(every, case):
    frames, _ = recorded(every, case)
    assert len(kinds(frames, "Update")) == 6
    assert kinds(frames, "Average") == kinds(frames, "Averaged") == []


def test_copies_are_in_no_root(tmp_path):
    frames, _ = recorded(recorded_cases(SCRIPT, ["copy"], tmp_path, SAKSI_LEVEL="full"), "copy")
    keys = {line[0] for each in kinds(frames, "Layout") for line in each.lines}
    assert keys
    assert all(each.startswith("0/") for each in keys)


MANY = (
    LOADED
    + r"""
import copy, torch
torch.manual_seed(0); torch.set_num_threads(1)
model = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.Linear(4, 4))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
average = copy.deepcopy(model)
def update(lag=False):
    optimizer.zero_grad(); model(torch.randn(3, 4)).square().mean().backward(); optimizer.step()
    with torch.no_grad():
        for a, p in zip(average.parameters(), model.parameters()): a.lerp_(p.to(a.dtype), 0.5)
for _ in range(3): update()
WHAT
for _ in range(3): update()
"""
)
STRANGE = {
    "let go": "average = copy.deepcopy(model)",
    "put on another type": "average.double()",
    "put in place": "average.load_state_dict({n: v.clone() for n, v in model.state_dict().items()}, assign=True)",
    "without memory": "average[0].weight.data.untyped_storage().resize_(0); average = copy.deepcopy(model)",
    "of another length": "average[0].weight.data = torch.zeros(2, 4); average = copy.deepcopy(model)",
    "no module": "import pickle; average = pickle.loads(pickle.dumps(model))",
    "shared": "average.share_memory()",
    "scripted": "average = torch.jit.script(copy.deepcopy(model))",
    "swapped": (
        "torch.__future__.set_swap_module_params_on_conversion(True); average.load_state_dict(model.state_dict()); "
        "average.double()"
    ),
    "deleted": "del average[0].weight; average = copy.deepcopy(model)",
    "of a class of its own": (
        "class Odd(torch.nn.Linear):\n    def __setstate__(self, state): self.__dict__.update(state)\n"
        "odd = Odd(4, 4); copy.deepcopy(odd)"
    ),
}


FORKED = "import os, sys\nif os.fork(): os.wait(); sys.exit(0)"


@pytest.fixture(scope="module")
def strange(tmp_path_factory):
    script = MANY.replace("WHAT", f"exec({STRANGE!r}[CASE])")
    return recorded_cases(script, STRANGE, tmp_path_factory.mktemp("strange"))


@pytest.mark.parametrize("what", STRANGE)
def test_whatever_becomes_of_an_average_training_goes_on_and_nothing_fails(strange, what):
    frames, _ = strange[what]
    assert not kinds(frames, "Fault")
    assert kinds(frames, "Average")


def test_training_goes_on_in_a_forked_child_and_nothing_fails(tmp_path):
    with Listener(tmp_path / "s") as agent:
        run(MANY.replace("WHAT", FORKED), environment(tmp_path / "s"))
        agent.drain(2)
        every = [agent.frames(at) for at in range(len(agent.connections))]
    assert not [fault for frames in every for fault in kinds(frames, "Fault")]
    assert kinds(every[0], "Average")
    assert len(kinds(every[1], "Update")) == 3
    assert all(each.update < 3 for each in kinds(every[1], "Average"))
