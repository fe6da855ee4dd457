"""What is changed in a training process is named, with function and file, at the next inventory; honest ones are not.

Each training runs many cases, one after the other, with a question of the agent's between them.
"""

from __future__ import annotations

import sys

import pytest

from recorder.listener import Listener, environment, kinds, run
from recorder.live_inventory import NONCE, Asking, judged
from torch_loaded import LOADED

pytestmark = [pytest.mark.training, pytest.mark.slow]

PAYLOAD = """\
import torch, functools
def kernel(*args, **kwargs): return None
def forward(self, x): return torch.nn.functional.linear(x, self.weight, self.bias) * 1.01
def step(self, closure=None): return type(self).step(self, closure)
def wrapped(f):
    @functools.wraps(f)
    def inner(*a, **k): return f(*a, **k)
    return inner
class Mode(torch.overrides.TorchFunctionMode):
    def __torch_function__(self, func, types, args=(), kwargs=None):
        return func(*args, **(kwargs or {}))
def post(o, a, k): pass
def forward_hook(m, a, out): return out
def grad(p): pass
def same(g): return g
def total(*a): return functools.reduce(lambda p, q: p + q, a[0], 0)
def relu(x): return x.clamp(min=0)
def backward(g, x, t): return g * (x > t)
class Gelu:
    def __new__(cls, x): return x
def elu(x): return x
class Called:
    def __call__(self, *args): return None
def other(self, *args): return None
def scaled(p, *args): return p
def tanh_kernel(g, x): return g
def found(self, *args): return None
def cached_step(self, closure=None): return None
class Adder:
    def __new__(cls, group): return None
"""
ATTACKS = """
import builtins, ctypes, functools, sys, types, warnings
import torch
F = torch.nn.functional
torch.manual_seed(0); torch.set_num_threads(1); warnings.simplefilter("ignore")
sys.path.insert(0, ELSEWHERE)
import payload
class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.a = torch.nn.Linear(8, 16); self.b = torch.nn.Linear(16, 3)
    def forward(self, x):
        return self.b(F.relu(self.a(x)))
def code_swapped(m, o): sys.modules["torch.optim.adam"]._multi_tensor_adam.__code__ = payload.kernel.__code__
def method_replaced(m, o): torch.nn.Linear.forward = payload.forward
def step_of_the_instance(m, o): o.step = types.MethodType(payload.step, o)
def default_changed(m, o): F.cross_entropy.__defaults__ = (*F.cross_entropy.__defaults__[:-1], 0.1)
def closure_changed(m, o):
    (cell,) = (c for c in torch.optim.AdamW.step.__closure__ if isinstance(c.cell_contents, types.FunctionType))
    cell.cell_contents = payload.wrapped(cell.cell_contents)
def constant_changed(m, o): sys.modules["torch.optim.adam"].CASE = 2
def mode_entered(m, o): payload.Mode().__enter__()
def step_hook(m, o): torch.optim.optimizer.register_optimizer_step_post_hook(payload.post)
def module_hook(m, o): m.a.register_forward_hook(payload.forward_hook)
def grad_hook(m, o): m.a.weight.register_post_accumulate_grad_hook(payload.grad)
def tensor_hook(m, o): m.a.weight.register_hook(payload.same)
def flags_changed(m, o): torch.set_float32_matmul_precision("medium"); torch.backends.cudnn.allow_tf32 = False
def builtin_replaced(m, o): builtins.sum = payload.total
def functions_exchanged(m, o): F.mse_loss = F.l1_loss
def c_function_replaced(m, o): torch.relu = payload.relu
def operator_overridden(m, o):
    global library
    library = torch.library.Library("aten", "IMPL")
    library.impl("threshold_backward", payload.backward, "CPU")
def class_in_place(m, o): F.gelu = payload.Gelu
def partial_in_place(m, o): F.elu = __import__("functools").partial(payload.elu)
def hook_object(m, o): m.b.register_forward_hook(payload.Called())
def call_of_hook_replaced(m, o): payload.Called.__call__ = payload.other
def cell_holds_object(m, o):
    tool = type("Tool", (payload.Called,), {"__call__": payload.Called.__call__})()
    def hook(*args): return tool(*args)
    m.b.register_forward_pre_hook(hook)
def module_replaced(m, o):
    other = types.ModuleType("torch.nn.functional"); other.__dict__.update(vars(F))
    sys.modules["torch.nn.modules.linear"].F = other
def globals_replaced(m, o):
    F.dropout = types.FunctionType(F.dropout.__code__, dict(vars(F)), "dropout", F.dropout.__defaults__)
def parameter_patched(m, o): m.a.weight.mul_ = types.MethodType(payload.scaled, m.a.weight)
def operator_through_a_function(m, o): torch.library.impl("aten::tanh_backward", "CPU")(payload.tanh_kernel)
def importer_in_disguise(m, o):
    kind = type("Finder", (), {"find_spec": payload.found}); kind.__module__ = "_frozen_importlib"
    sys.meta_path.append(kind())
def code_forged(m, o): F.softmax.__code__ = F.softmax.__code__.replace(co_consts=(*F.softmax.__code__.co_consts, 7))
def cache_in_place(m, o): F.silu = functools.lru_cache(0)(payload.elu)
def method_cached(m, o): torch.nn.Linear.extra_repr = functools.lru_cache(0)(torch.nn.Linear.extra_repr)
def partial_of_the_same(m, o): F.leaky_relu = functools.partial(F.leaky_relu, negative_slope=0.5)
def module_in_place(m, o): F.glu = torch.nn.GLU()
def class_as_method(m, o): torch.nn.Module.xpu = payload.Gelu
def foreign_function_in_place(m, o): F.hardswish = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.py_object)(payload.elu)
def function_deleted(m, o): del F.softsign
def method_deleted(m, o): del torch.nn.Module.ipu
def single_function_deleted(m, o): del torch.nn.utils.clip_grad_value_
def builtin_added(m, o): builtins.extra = payload.total
def builtin_deleted(m, o): del builtins.extra
def step_cached(m, o): torch.optim.AdamW.step = functools.lru_cache(0)(payload.cached_step)
def class_of_the_instance(m, o): m.b.forward = types.MethodType(payload.forward, m.b); o.add_param_group = payload.Adder
sys.modules["torch.optim.adam"].CASE = 1
torch.optim.optimizer = sys.modules["torch.optim.optimizer"]
cases = [one for name, one in list(globals().items()) if isinstance(one, types.FunctionType)]
m = Net(); o = torch.optim.AdamW(m.parameters(), lr=1e-3)
x, y = torch.randn(16, 8), torch.randint(3, (16,))
for k in range(len(cases) + 2):
    if 2 <= k < len(cases) + 2:
        cases[k - 2](m, o)
        print(k, cases[k - 2].__name__)
    o.zero_grad(); F.cross_entropy(m(x), y).backward(); o.step()
"""
LINEAR, MODULE = "torch.nn.modules.linear.Linear", "torch.nn.modules.module.Module"
GONE = "is not found there any more after the first update"
HOOK_OF_A_CELL = "module forward_pre_hooks: __main__.cell_holds_object.<locals>.hook"
NAMED = {
    "code_swapped": ("live.code_replaced", "torch.optim.adam._multi_tensor_adam", "kernel, {payload}:2"),
    "method_replaced": ("live.code_replaced", "torch.nn.modules.linear.Linear.forward", "forward, {payload}:3"),
    "step_of_the_instance": ("live.instance_patched", "optimizer 0.step", "step, {payload}:4"),
    "default_changed": (
        "live.default_changed",
        "torch.nn.functional.cross_entropy",
        "label_smoothing of cross_entropy",
    ),
    "closure_changed": ("live.code_replaced", "torch.optim.adamw.AdamW.step", "{payload}:6"),
    "constant_changed": ("live.default_changed", "torch.optim.adam.CASE", "It was 1 and is 2"),
    "mode_entered": ("live.mode_entered", "modes.function: payload.Mode", "Mode.__torch_function__, {payload}:10"),
    "step_hook": ("live.hook_added", "optimizer.step_post: payload.post", "post, {payload}:12"),
    "module_hook": ("live.hook_added", "module forward_hooks: payload.forward_hook", "forward_hook, {payload}:13"),
    "grad_hook": ("live.hook_added", "parameter post_accumulate_grad_hooks: payload.grad", "grad, {payload}:14"),
    "tensor_hook": ("live.hook_added", "parameter backward_hooks: payload.same", "same, {payload}:15"),
    "flags_changed": ("live.flag_changed", "matmul_precision", "highest at the inventory before and is medium"),
    "builtin_replaced": ("live.builtin_patched", "builtins.sum", "total, {payload}:16"),
    "functions_exchanged": ("live.code_replaced", "torch.nn.functional.mse_loss", "It is l1_loss, "),
    "c_function_replaced": ("live.code_replaced", "torch.relu", "relu, {payload}:17"),
    "operator_overridden": ("live.operator_overridden", "aten::threshold_backward CPU", "registered at {script}:"),
    "class_in_place": ("live.code_replaced", "torch.nn.functional.gelu", "Gelu.__new__, {payload}:20"),
    "partial_in_place": ("live.code_replaced", "torch.nn.functional.elu", "elu, {payload}:21"),
    "hook_object": ("live.hook_added", "module forward_hooks: payload.Called", "Called.__call__, {payload}:23"),
    "call_of_hook_replaced": ("live.hook_added", "module forward_hooks: payload.Called", "other, {payload}:24"),
    "cell_holds_object": ("live.hook_added", HOOK_OF_A_CELL, "other, {payload}:24"),
    "module_replaced": ("live.default_changed", "torch.nn.modules.linear.F", "(not the one that is loaded)"),
    "globals_replaced": ("live.code_replaced", "torch.nn.functional.dropout", "dropout looks names up where no module"),
    "parameter_patched": ("live.instance_patched", "parameter a.weight.mul_", "scaled, {payload}:25"),
    "operator_through_a_function": ("live.operator_overridden", "aten::tanh_backward CPU", "through torch.library"),
    "importer_in_disguise": ("live.hook_added", "sys.meta_path: _frozen_importlib.Finder", "found, {payload}:27"),
    "cache_in_place": ("live.code_replaced", "torch.nn.functional.silu", "elu, {payload}:21"),
    "method_cached": ("live.code_replaced", LINEAR + ".extra_repr", "now object of functools._lru_cache_wrapper does"),
    "partial_of_the_same": (
        "live.code_replaced",
        "torch.nn.functional.leaky_relu",
        "now object of functools.partial does",
    ),
    "module_in_place": ("live.code_replaced", "torch.nn.functional.glu", "It is Module._wrapped_call_impl, "),
    "class_as_method": ("live.code_replaced", MODULE + ".xpu", "Gelu.__new__, {payload}:20"),
    "foreign_function_in_place": ("live.code_replaced", "torch.nn.functional.hardswish", "object of ctypes."),
    "function_deleted": ("live.code_replaced", "torch.nn.functional.softsign", GONE),
    "method_deleted": ("live.code_replaced", MODULE + ".ipu", GONE),
    "single_function_deleted": ("live.code_replaced", "torch.nn.utils.clip_grad_value_", GONE),
    "builtin_added": ("live.builtin_patched", "builtins.extra", "code of total, {payload}:16"),
    "builtin_deleted": ("live.builtin_patched", "builtins.extra", GONE),
    "step_cached": ("live.code_replaced", "torch.optim.adamw.AdamW.step", "cached_step, {payload}:28"),
    "class_of_the_instance": ("live.instance_patched", "optimizer 0.add_param_group", "Adder.__new__, {payload}:30"),
    "code_forged": ("live.code_differs", "torch.nn.functional.softmax", "softmax, "),
}


@pytest.fixture(scope="module")
def attacked(tmp_path_factory):
    """The findings of a training in which everything is changed in turn, and the Steps of inventories after each."""
    folder, elsewhere = tmp_path_factory.mktemp("own"), tmp_path_factory.mktemp("elsewhere")
    script, payload = folder / "train.py", elsewhere / "payload.py"
    payload.write_text(PAYLOAD)
    script.write_text(ATTACKS.replace("ELSEWHERE", repr(str(elsewhere))))
    with Asking(folder / "s") as agent:
        done = run(str(script), environment(folder / "s"))
        agent.drain()
        frames = agent.frames()
    assert not kinds(frames, "Fault")
    steps = {name: int(step) for step, name in (line.split() for line in done.stdout.splitlines())}
    found = judged(frames, script=script, folders=(folder,))
    inventories = sorted({frame.step + (frame.at != "exit") for frame in kinds(frames, "Live")})
    # Steps that torch's hooks are no longer around are no Updates: what was changed then is found at the end.
    after = {case: [each for each in inventories if each >= step] or inventories[-1:] for case, step in steps.items()}
    return found, after, {"payload": str(payload), "script": str(script)}


@pytest.mark.parametrize("case", NAMED)
def test_what_is_changed_in_a_training_process_is_named_at_the_next_inventory(attacked, case):
    found, after, files = attacked
    code, subject, words = NAMED[case]
    words = words.format(**files)
    (named,) = (each for each in found if (each.code, each.subject) == (code, subject) and words in each.message)
    severity = "info" if case == "importer_in_disguise" else "warning"  # libraries bring importers at any time
    assert (named.severity, named.alleges) == (severity, "unknown")
    assert named.first_step == after[case][0]


def test_nothing_else_is_said_of_it(attacked):
    found, _, _ = attacked
    expected = {(code, subject) for code, subject, _ in NAMED.values()}
    more = {("live.flag_changed", "matmul_tf32"), ("live.flag_changed", "cudnn_tf32")}
    more |= {("live.default_changed", "torch.optim.adamw.AdamW.step")}
    more |= {("live.instance_patched", "module 0 b.forward")}
    assert {(each.code, each.subject) for each in found} - expected <= more


HONEST = (
    LOADED
    + """
import functools, sys, types
import torch
F = torch.nn.functional
torch.manual_seed(0); torch.set_num_threads(1)
sys.path.insert(0, PACKAGES)
import patcher
class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.a = torch.nn.Linear(8, 16); self.norm = torch.nn.BatchNorm1d(16); self.b = torch.nn.Linear(16, 3)
        self.activation = F.relu
    def forward(self, x):
        return self.b(self.activation(self.norm(self.a(x))))
def clipped(g): return g.clamp(-1, 1)
def counted(f):
    calls = 0
    @functools.wraps(f)
    def inner(*a, **k):
        nonlocal calls
        calls += 1
        return f(*a, **k)
    return inner
F.cross_entropy = counted(F.cross_entropy)
model = Net()
model.a.weight.register_hook(clipped)
torch.distributed.init_process_group("gloo", init_method="file://" + STORE, rank=0, world_size=1)
wrapped = torch.nn.parallel.DistributedDataParallel(model)
optimizer = torch.optim.AdamW(wrapped.parameters(), lr=1e-3)
scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 2)
patcher.prepare(optimizer)
scaler = torch.amp.GradScaler("cpu")
x, y = torch.randn(16, 8), torch.randint(3, (16,))
for k in range(4):
    if k == 2:  # another optimizer, of a class that torch wraps as it is built, and a compiled one
        second = torch.optim.SGD(model.b.parameters(), lr=1e-4, momentum=0.9)
        second_step = torch.compile(second.step, backend="eager")
    optimizer.zero_grad()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = F.cross_entropy(wrapped(x), y)
    scaler.scale(loss).backward()
    scaler.unscale_(optimizer); torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    scaler.step(optimizer); scaler.update(); scheduler.step()
    if k >= 2: second_step()
torch.distributed.destroy_process_group()
"""
)
PATCHER = """
import functools
def prepare(optimizer):
    inner = optimizer.step
    @functools.wraps(inner)
    def step(*args, **kwargs): return inner(*args, **kwargs)
    optimizer.step = step
"""


def test_an_honest_training_is_alleged_nothing(tmp_path):
    site = tmp_path / "site-packages"
    (site / "patcher-1.dist-info").mkdir(parents=True)
    (site / "patcher.py").write_text(PATCHER)
    (site / "patcher-1.dist-info" / "RECORD").write_text("patcher.py,,\npatcher-1.dist-info/RECORD,,\n")
    script = tmp_path / "train.py"
    script.write_text(HONEST.replace("PACKAGES", repr(str(site))).replace("STORE", repr(str(tmp_path / "store"))))
    with Asking(tmp_path / "s") as agent:
        run(str(script), environment(tmp_path / "s"))
        agent.drain()
        frames = agent.frames()
    assert not kinds(frames, "Fault")
    found = judged(frames, script=script, folders=(tmp_path / "own",))
    assert [each for each in found if each.severity != "info"] == []
    # What the script and the package did is said, each with its file; nothing of torch's own is.
    assert {(each.code, each.subject) for each in found} == {
        ("live.code_replaced", "torch.nn.functional.cross_entropy"),
        ("live.hook_added", "parameter backward_hooks: __main__.clipped"),
        ("live.instance_patched", "optimizer 0.step"),
        ("live.default_changed", "torch.nn.functional.cross_entropy"),  # its closure counts
    }


PLAIN = (
    LOADED
    + """
import hashlib, os, sys
import torch
torch.manual_seed(0); torch.set_num_threads(1)
def train():
    model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Dropout(0.5), torch.nn.Linear(8, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    for _ in range(5):
        optimizer.zero_grad(); model(torch.randn(4, 4)).sum().backward(); optimizer.step()
    state = b"".join(p.detach().numpy().tobytes() for p in model.parameters()) + torch.get_rng_state().numpy().tobytes()
    print(hashlib.sha256(state).hexdigest(), flush=True)
train()
if os.fork() == 0:
    train()
else:
    os.wait()
"""
)


def test_a_process_that_is_asked_answers_and_ends_in_the_same_bits(tmp_path):
    script = tmp_path / "train.py"
    script.write_text(PLAIN)
    with Asking(tmp_path / "s") as agent:
        asked = run(str(script), environment(tmp_path / "s"))
        agent.drain(2)
        every = [agent.frames(number) for number in range(2)]
    assert asked.stdout == run(str(script), environment(None, PYTHONPATH="")).stdout
    for frames in every:  # the child is a process of its own, and begins with all of it
        assert not kinds(frames, "Fault")
        live = kinds(frames, "Live")
        assert frames[0].answers
        assert {frame.at for frame in live if frame.number == 0} == {"first"}
        assert len({subject.name for frame in live if frame.number == 0 for subject in frame.subjects}) > 500
        answers = [frame for frame in live if frame.at == "challenge"]
        assert [len(frame.subjects) for frame in answers] == [0] * len(answers)
        assert answers
        assert all(frame.nonce in {NONCE % number for number in range(Asking.asked + 1)} for frame in answers)
        assert live[-1].at == "exit"
        assert judged(frames, script=script) == ()


LETS_GO = (
    LOADED
    + """
import gc
import torch
torch.manual_seed(0); torch.set_num_threads(1)
def made(deep):
    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.a = torch.nn.Linear(4, 1)
        def forward(self, x): return self.a(x)
        if deep:
            def more(self, x): return self.a(x)
    return Net()
def train(model):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(4):
        optimizer.zero_grad(); model(torch.ones(2, 4)).sum().backward(); optimizer.step()
train(made(True))
gc.collect()
train(made(False))
"""
)


def test_a_model_that_was_let_go_is_no_news(tmp_path):
    script = tmp_path / "train.py"
    script.write_text(LETS_GO)
    with Asking(tmp_path / "s") as agent:
        run(str(script), environment(tmp_path / "s"))
        agent.drain()
        frames = agent.frames()
    assert not kinds(frames, "Fault")
    subjects = [subject for frame in kinds(frames, "Live") for subject in frame.subjects]
    assert "__main__.made.<locals>.Net.more" in {subject.name for subject in subjects}
    assert [subject.name for subject in subjects if "gone" in subject.notes] == []
    assert [each for each in judged(frames, script=script) if each.severity != "info"] == []


def test_a_recorder_that_nobody_asks_says_what_it_began_with_twice_and_what_it_ended_with(tmp_path):
    script = tmp_path / "train.py"
    script.write_text(PLAIN.replace("train()\nif", "train(); sys.exit()\nif"))
    with Listener(tmp_path / "s") as agent:
        run(str(script), environment(tmp_path / "s"), python=sys.executable)
        agent.drain()
        live = kinds(agent.frames(), "Live")
    assert [frame.at for frame in live if frame.part == 0] == ["first", "second", "exit"]
