"""An inventory asks nothing of the program, costs what it may, and loses no more than the place that failed it."""

from __future__ import annotations

import pytest

from recorder.listener import environment, kinds, run
from recorder.live_inventory import Asking, judged
from torch_loaded import LOADED

pytestmark = [pytest.mark.training, pytest.mark.slow]


def inventories(tmp_path, source, *, connections=1, cwd=None):
    """What the recorder of a program says, connection by connection, and what the program printed."""
    script = tmp_path / "train.py"
    script.write_text(source)
    with Asking(tmp_path / "s") as agent:
        done = run(str(script), environment(tmp_path / "s"), cwd=cwd)
        agent.drain(connections)
        every = [agent.frames(number) for number in range(connections)]
    for frames in every:
        assert not kinds(frames, "Fault")
    return every, done.stdout


def places(frames, number=None):
    """The subjects of an inventory, or of all, by name."""
    live = [frame for frame in kinds(frames, "Live") if number is None or frame.number == number]
    return {subject.name: (subject, frame) for frame in live for subject in frame.subjects}


WARY = """
import sys
import torch
torch.manual_seed(0); torch.set_num_threads(1)
LOOKS = ("inventory.py", "modules.py", "pieces.py", "owners.py", "bare.py", "plain.py", "code_digest.py")
def notes(name):
    frame = sys._getframe(2)
    while frame is not None:
        file = frame.f_code.co_filename.rpartition("saksi_recorder/")[2]
        if file != frame.f_code.co_filename and (file.startswith("live_") or file in LOOKS):
            print("asked", name, file, frame.f_lineno)
        frame = frame.f_back
def asked(name, value=None):
    def ask(*args, **kwargs):
        notes(name)
        return value(*args, **kwargs)
    return ask
class Meta(type):
    __hash__ = asked("hash of a class", type.__hash__)
    __eq__ = asked("equality of classes", type.__eq__)
    __getattribute__ = asked("attribute of a class", type.__getattribute__)
class Wary(metaclass=Meta):
    __getattribute__ = asked("attribute", object.__getattribute__)
    __hash__ = asked("hash", object.__hash__)
    __repr__ = asked("repr", object.__repr__)
    def __bool__(self): notes("bool"); return True
    @property
    def __class__(self): notes("class"); return Wary
    def __call__(self, *args): return None
class Net(torch.nn.Module, metaclass=Meta):
    def __init__(self):
        super().__init__()
        self.a = torch.nn.Linear(8, 8)
        self.tool = Wary()
    def forward(self, x): return self.a(x)
    def made(self): return None
    __getattribute__ = asked("attribute of a module", torch.nn.Module.__getattribute__)
    named_modules = asked("named_modules", torch.nn.Module.named_modules)
    named_parameters = asked("named_parameters", torch.nn.Module.named_parameters)
    named_buffers = asked("named_buffers", torch.nn.Module.named_buffers)
    parameters = asked("parameters", torch.nn.Module.parameters)
class Data:
    transform = None
    def __getattr__(self, name): notes(name); raise AttributeError(name)
    @property
    def __class__(self): notes("class of data"); return dict
    def __len__(self): return 8
    def __getitem__(self, i): return torch.ones(8)
class Own(torch.optim.SGD):
    __getattribute__ = asked("attribute of an optimizer", torch.optim.SGD.__getattribute__)
class Table(dict):
    get = asked("get of a dictionary", dict.get)
    __getitem__ = asked("item of a dictionary", dict.__getitem__)
def noted(*args): return None
noted.__dict__ = Table()
class Told(torch.nn.Parameter):
    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        notes("function of a parameter")
        return super().__torch_function__(func, types, args, kwargs or {})
net = Net()
net.a.bias = Told(torch.zeros(8))
net.a.register_forward_hook(Wary())
net.a.register_forward_pre_hook(noted)
data = torch.utils.data.DataLoader(Data(), batch_size=4)
data.dataset.transform = Wary()
optimizer = Own(net.parameters(), lr=0.1)
for epoch in range(3):
    Net.made = [Wary()] if epoch else Net.__dict__["made"]
    for x in data:
        optimizer.zero_grad(); net(x).sum().backward(); optimizer.step()
"""


def test_nothing_of_the_program_is_asked_for_an_inventory(tmp_path):
    (frames,), printed = inventories(tmp_path, WARY)
    assert printed == ""
    said = places(frames)
    assert {"__main__.Net.forward", "module 0.tool", "loader 0 dataset.transform"} <= set(said)
    assert "module forward_hooks: __main__.Wary" in said
    assert said["module forward_hooks: __main__.Wary"][0].pieces[0].name == "Wary.__call__"
    assert said["__main__.Net.made"][0].notes == ["object of builtins.list"]
    assert {"__main__.Told.__torch_function__", "__main__.Own.__getattribute__"} <= set(said)
    assert any(frame.at == "challenge" for frame in kinds(frames, "Live"))


FAILING = (
    LOADED
    + """
import torch
from saksi_recorder import live_hooks, live_objects, pieces
torch.manual_seed(0); torch.set_num_threads(1)
def fail(*_args): raise RuntimeError("no")
live_hooks._builtins = lambda: (fail() for _ in range(1))
live_hooks._of_tensors = lambda owner: (fail() for _ in range(1))
of_object, into = live_objects.of_object, pieces._Walk.into
live_objects.of_object = lambda one, name: fail() if "1" in name else of_object(one, name)
def unless_step(self, value, depth):
    return fail() if getattr(value, "__name__", "") == "step" else into(self, value, depth)
pieces._Walk.into = unless_step
def hook(*_args): pass
m = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.Linear(4, 1))
for one in m: one.note = hook
m[0].register_forward_hook(hook)
o = torch.optim.SGD(m.parameters(), lr=0.1)
for _ in range(3):
    o.zero_grad(); m(torch.ones(2, 4)).sum().backward(); o.step()
"""
)


def test_a_place_that_cannot_be_looked_into_costs_itself_only_and_is_said(tmp_path):
    (frames,), _ = inventories(tmp_path, FAILING)
    said = places(frames)
    assert {"module forward_hooks: __main__.hook", "module 0 0.note", "torch.nn.functional.relu"} <= set(said)
    assert {"module 0 1.note", "torch.optim.sgd.SGD.step"} & set(said) == set()
    assert {frame.what for frame in kinds(frames, "Uncovered") if frame.what.startswith("the code of")} == {
        "the code of an object", "the code of a place", "the code of hooks",
        "the code of modes, builtins, tracers or importers",
    }  # fmt: skip
    assert [frame.at for frame in kinds(frames, "Live") if frame.part == 0][-1] == "exit"


ODD = (
    LOADED
    + """
import torch
torch.manual_seed(0); torch.set_num_threads(1)
def hook(*_args): pass
def grad(*_args): pass
m = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.Linear(4, 1))
o = torch.optim.SGD(list(m.parameters()), lr=0.1)
m[0]._parameters["odd"] = object()
m[1].register_forward_hook(hook)
m[1].weight.register_post_accumulate_grad_hook(grad)
for _ in range(3):
    o.zero_grad(); m(torch.ones(2, 4)).sum().backward(); o.step()
"""
)


def test_what_is_no_tensor_among_parameters_hides_no_hook(tmp_path):
    (frames,), _ = inventories(tmp_path, ODD)
    assert {
        "module forward_hooks: __main__.hook",
        "parameter post_accumulate_grad_hooks: __main__.grad",
    } <= set(places(frames))
    assert [frame.what for frame in kinds(frames, "Uncovered") if frame.what.startswith("the code of")] == []


CROWDED = (
    LOADED
    + """
import torch
torch.manual_seed(0); torch.set_num_threads(1)
for number in range(5000):
    exec("def own_%d(x): return x" % number)
def hook(*_args): pass
def later(*_args): pass
class Mode(torch.overrides.TorchFunctionMode):
    def __torch_function__(self, func, types, args=(), kwargs=None): return func(*args, **(kwargs or {}))
class Net(torch.nn.Linear): pass
m = Net(4, 1)
m.register_forward_hook(hook)
o = torch.optim.SGD(m.parameters(), lr=0.1)
for k in range(4):
    if k == 2:
        m.register_forward_hook(later); Mode().__enter__()
        torch.nn.Linear.forward = lambda self, x: torch.nn.functional.linear(x, self.weight, self.bias)
    o.zero_grad(); m(torch.ones(2, 4)).sum().backward(); o.step()
"""
)


def test_a_program_of_many_functions_silences_nothing_of_hooks_modes_and_torch(tmp_path):
    (frames,), _ = inventories(tmp_path, CROWDED)
    first, all_of_it = places(frames, 0), places(frames)
    assert {"module forward_hooks: __main__.hook", "torch.optim.sgd.SGD.step", "torch.nn.functional.relu"} <= set(first)
    assert {"module forward_hooks: __main__.later", "modes.function: __main__.Mode"} <= set(all_of_it) - set(first)
    assert all_of_it["torch.nn.modules.linear.Linear.forward"][0].pieces[0].name == "<lambda>"
    assert 500 < sum("own_" in name for name in first) < 4_000
    omitted = [frame.omitted for frame in kinds(frames, "Live")]
    assert min(omitted) > 1_000


DEEP = (
    LOADED
    + """
import torch
from saksi_recorder import live_tree
live_tree.SHARE = LIMIT
torch.manual_seed(0); torch.set_num_threads(1)
def hook(*_args): pass
def note(*_args): pass
class Block(torch.nn.Linear): pass
m = torch.nn.Sequential(*[Block(2, 2) for _ in range(20)])
for one in m: one.register_forward_hook(hook)
o = torch.optim.SGD(m.parameters(), lr=0.01)
for k in range(30):
    if k == 8: m[17].note = note
    if k == 9: m[3].weight.register_hook(note)
    o.zero_grad(); m(torch.ones(1, 2)).sum().backward(); o.step()
"""
)


@pytest.mark.parametrize("limit", [4, 2048])
def test_a_model_of_many_modules_is_looked_at_in_turns_and_nothing_is_left_out_for_good(tmp_path, limit):
    (frames,), _ = inventories(tmp_path, DEEP.replace("LIMIT", str(limit)))
    first = places(frames, 0)
    again = [
        (first[name][0], subject, frame.number)
        for name, (subject, frame) in places(frames).items()
        if frame.number > 0 and name in first
    ]
    assert again == []
    later = {name: frame for name, (_, frame) in places(frames).items() if frame.number > 0}
    assert set(later) == {"module 0 17.note", "parameter backward_hooks: __main__.note"}
    assert later["module 0 17.note"].step < 8 + (3 if limit == 2048 else 9)
    (hook,) = (s for s, _ in places(frames, 0).values() if s.name == "module forward_hooks: __main__.hook")
    assert "on 20" in hook.notes
    found = {(each.severity, each.subject) for each in judged(frames, script=tmp_path / "train.py")}
    assert found == {
        ("info", "module forward_hooks: __main__.hook"),
        ("warning", "parameter backward_hooks: __main__.note"),  # the one that came while it trained
    }


def test_more_modules_than_are_looked_at_are_said_to_be_left_out(tmp_path):
    source = DEEP.replace("LIMIT", "4").replace("live_tree.SHARE", "live_tree.MAX_MODULES")
    (frames,), _ = inventories(tmp_path, source)
    assert ("the code of further modules", "more than 4") in {
        (frame.what, frame.reason) for frame in kinds(frames, "Uncovered")
    }


FORKED = (
    LOADED
    + """
import os, threading
import torch
from saksi_recorder import live_code, live_tree
torch.manual_seed(0); torch.set_num_threads(1)
def train(steps):
    m = torch.nn.Linear(4, 1); o = torch.optim.SGD(m.parameters(), lr=0.1)
    for _ in range(steps):
        o.zero_grad(); m(torch.ones(2, 4)).sum().backward(); o.step()
train(2)
with live_code._lock[0]:
    train(2)  # as if another thread were taking one: these updates take none, and wait for nobody
    child = os.fork()
    if child == 0:
        train(3)
        os._exit(0)
    os.waitpid(child, 0)
train(2)
"""
)


def test_a_child_that_is_forked_within_an_inventory_takes_its_own_from_the_beginning(tmp_path):
    source = FORKED.replace("os._exit(0)", "from saksi_recorder import attach; attach.end(); os._exit(0)")
    (parent, child), _ = inventories(tmp_path, source, connections=2)
    assert len(kinds(parent, "Update")) == 6
    took = {frame.number for frame in kinds(parent, "Live")}
    assert 3 <= len(took) <= 5
    assert kinds(child, "Hello")[0].forked
    assert len(places(child, 0)) > 500
    assert kinds(child, "Live")[0].at == "first"


RELATIVE = (
    LOADED
    + """
import os
import torch
torch.set_num_threads(1)
space = {}
exec(compile("def hook(*_args): pass", "made/hooks.py", "exec"), space)
m = torch.nn.Linear(4, 1)
m.register_forward_hook(space["hook"])
o = torch.optim.SGD(m.parameters(), lr=0.1)
os.chdir("/")
for _ in range(2):
    o.zero_grad(); m(torch.ones(2, 4)).sum().backward(); o.step()
"""
)


def test_a_file_that_is_named_from_where_the_program_began_is_named_in_full(tmp_path):
    (frames,), _ = inventories(tmp_path, RELATIVE, cwd=tmp_path)
    (subject, frame) = places(frames)["module forward_hooks: None.hook"]
    assert frame.files[subject.pieces[0].file] == str(tmp_path / "made/hooks.py")


OWN = (
    LOADED
    + """
import sys
import torch
torch.manual_seed(0); torch.set_num_threads(1)
class Own(torch.optim.Optimizer):
    def __init__(self, params): super().__init__(params, {"lr": 0.1})
    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]: p.add_(p.grad, alpha=-group["lr"])
class Data(torch.utils.data.Dataset):
    transform = None
    def __len__(self): return 8
    def __getitem__(self, i): return torch.ones(4) if self.transform is None else self.transform(torch.ones(4))
def doubled(x): return x * 2
def trained(x): return x
def lazy():
    def first():
        nonlocal found
        found = 5
        return found
    if torch is None: found = None
    return first
class Net(torch.nn.Module):
    def __init__(self):
        super().__init__(); self.a = torch.nn.Linear(4, 4); self.b = torch.nn.Linear(4, 1); self.get = lazy()
    def forward(self, x): return self.b(torch.relu(self.a(x)))
def hook(*_args): pass
net = Net()
traced = torch.fx.symbolic_trace(torch.nn.Sequential(torch.nn.Linear(1, 1)))
net.a.register_forward_hook(hook)
optimizer = Own([*net.parameters(), *traced.parameters()])
scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 2)
loader = torch.utils.data.DataLoader(Data(), batch_size=4)
for epoch in range(4):
    if epoch == 1:
        second = Own(net.b.parameters()); late = torch.optim.lr_scheduler.StepLR(second, 2)
        loader.dataset.transform = doubled
        net.compile(backend="eager")
    if epoch == 2:
        loader.dataset.transform = trained
        net.b.register_forward_hook(hook); net.get()
        for node in traced.graph.nodes:
            if node.op == "output":
                with traced.graph.inserting_before(node):
                    node.args = (traced.graph.call_function(torch.neg, (node.args[0],)),)
        traced.recompile()
    for x in loader:
        optimizer.zero_grad(); traced(net(x)).sum().backward(); optimizer.step()
        if epoch: second.step(); late.step()
    scheduler.step()
"""
)


def test_what_torch_does_for_a_users_own_classes_is_no_warning(tmp_path):
    (frames,), _ = inventories(tmp_path, OWN)
    found = judged(frames, script=tmp_path / "train.py", folders=(tmp_path,))
    assert [(each.code, each.subject, each.message) for each in found if each.severity != "info"] == []
    assert not {each.subject for each in found} & {"optimizer 0.step", "optimizer 1.step"}
