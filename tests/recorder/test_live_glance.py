"""What is changed between two updates is said by an inventory that nobody asked for, within two updates.

Each training runs many changes, one after the other, with updates between them.
"""

from __future__ import annotations

import pytest

from recorder.listener import Listener, environment, kinds, run
from recorder.live_inventory import judged
from torch_loaded import LOADED

pytestmark = [pytest.mark.training, pytest.mark.slow]

EVERY = 6
"""Updates from one change to the next."""
CHANGES = """
import builtins, functools, os, resource, sys, time, types, warnings
import torch
from saksi_recorder import live_glance
live_glance.PAUSE, live_glance.FREE_NS = 0, 10**12  # each update has a glance, however busy the machine is
F = torch.nn.functional
torch.manual_seed(0); torch.set_num_threads(1); warnings.simplefilter("ignore")
class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.a = torch.nn.Linear(8, 16); self.b = torch.nn.Linear(16, 3)
        self.activation = F.relu
    def forward(self, x): return self.b(self.activation(self.a(x)))
def kernel(*args, **kwargs): return None
def forward(self, x): return F.linear(x, self.weight, self.bias) * 1.01
def wrapped(f):
    @functools.wraps(f)
    def inner(*a, **k): return f(*a, **k)
    return inner
def seen(*args): return None
def total(*a): return functools.reduce(lambda p, q: p + q, a[0], 0)
class Mode(torch.overrides.TorchFunctionMode):
    def __torch_function__(self, func, types, args=(), kwargs=None): return func(*args, **(kwargs or {}))
from torch.utils._python_dispatch import TorchDispatchMode
class Dispatch(TorchDispatchMode):
    def __torch_dispatch__(self, func, types, args=(), kwargs=None): return func(*args, **(kwargs or {}))
def method_replaced(m, o): torch.nn.Linear.forward = forward
def code_swapped(m, o): F.mse_loss.__code__ = kernel.__code__
def default_changed(m, o): F.cross_entropy.__defaults__ = (*F.cross_entropy.__defaults__[:-1], 0.1)
def keyword_default_changed(m, o): torch.optim.Adam.__init__.__kwdefaults__["maximize"] = 1
def cell_changed(m, o):
    (cell,) = (c for c in torch.optim.AdamW.step.__closure__ if isinstance(c.cell_contents, types.FunctionType))
    cell.cell_contents = wrapped(cell.cell_contents)
def constant_changed(m, o): sys.modules["torch.optim.adam"].CASE = 2
def c_function_replaced(m, o): torch.erfinv = total
def function_deleted(m, o): del F.softsign
def step_of_the_instance(m, o): o.step = types.MethodType(lambda self, closure=None: type(self).step(self, closure), o)
def forward_of_the_instance(m, o): m.b.forward = types.MethodType(forward, m.b)
def own_method_replaced(m, o): Net.forward = kernel_of_net
def kernel_of_net(self, x): return self.b(F.relu(self.a(x)))
def hook_of_all_modules(m, o): torch.nn.modules.module.register_module_forward_pre_hook(seen)
def hook_of_all_optimizers(m, o): torch.optim.optimizer.register_optimizer_step_post_hook(seen)
def hook_of_the_optimizer(m, o): o.register_step_pre_hook(seen)
def hook_of_a_module(m, o): m.a.register_forward_hook(seen)
def hook_of_a_tensor(m, o): m.a.weight.register_hook(seen)
def hook_on_accumulation(m, o): m.b.bias.register_post_accumulate_grad_hook(seen)
def mode_entered(m, o): Mode().__enter__()
def dispatch_mode_entered(m, o): Dispatch().__enter__()
def flag_turned(m, o): torch.set_float32_matmul_precision("medium")
def limit_lowered(m, o):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft - 1, hard))
def errors_thrown_away(m, o): os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
def builtin_replaced(m, o): builtins.sum = total
def operator_overridden(m, o):
    global library
    library = torch.library.Library("aten", "IMPL")
    library.impl("threshold_backward", lambda g, x, t: g * (x > t), "CPU")
sys.modules["torch.optim.adam"].CASE = 1
torch.optim.optimizer = sys.modules["torch.optim.optimizer"]
names = NAMES
m = Net(); o = torch.optim.AdamW(m.parameters(), lr=1e-3)
x, y = torch.randn(16, 8), torch.randint(3, (16,))
for k in range(EVERY * len(names) + 4):
    if k % EVERY == 3 and k // EVERY < len(names):
        globals()[names[k // EVERY]](m, o)
        print(k, names[k // EVERY])
    o.zero_grad(); F.cross_entropy(m(x), y).backward(); o.step()
    time.sleep(0.02)
"""
LINEAR = "torch.nn.modules.linear.Linear"
PLACES = {
    "method_replaced": LINEAR + ".forward",
    "code_swapped": "torch.nn.functional.mse_loss",
    "default_changed": "torch.nn.functional.cross_entropy",
    "keyword_default_changed": "torch.optim.adam.Adam.__init__",
    "cell_changed": "torch.optim.adamw.AdamW.step",
    "constant_changed": "torch.optim.adam.CASE",
    "c_function_replaced": "torch.erfinv",
    "function_deleted": "torch.nn.functional.softsign",
    "step_of_the_instance": "optimizer 0.step",
    "forward_of_the_instance": "module 0 b.forward",
    "own_method_replaced": "__main__.Net.forward",
    "hook_of_all_modules": "module.forward_pre: __main__.seen",
    "hook_of_all_optimizers": "optimizer.step_post: __main__.seen",
    "hook_of_the_optimizer": "optimizer optimizer_step_pre_hooks: __main__.seen",
    "hook_of_a_module": "module forward_hooks: __main__.seen",
    "hook_of_a_tensor": "parameter backward_hooks: __main__.seen",
    "hook_on_accumulation": "parameter post_accumulate_grad_hooks: __main__.seen",
    "builtin_replaced": "builtins.sum",
    "mode_entered": "modes.function: __main__.Mode",
    "dispatch_mode_entered": "modes.dispatch: __main__.Dispatch",
    "flag_turned": "matmul_precision",
    "limit_lowered": "limit of open files",
    "errors_thrown_away": "stream stderr",
    "operator_overridden": "aten::threshold_backward CPU",
}
UNTOLD = {"own_method_replaced"}
"""A program may give its own classes other methods of its own."""


BY_ASKING = """
import torch
from saksi_recorder import kept_words, live_met, live_rows
kept_words.FUNCTIONS = kept_words.CELLS = None
for one in (kept_words, live_met, live_rows):
    one.HAVE_VERSIONS, one.identities = False, kept_words._by_number
"""
"""As on an interpreter that keeps its objects otherwise than is known."""


@pytest.fixture(scope="module", params=["", BY_ASKING], ids=["as it lies", "by asking"])
def changed(request, tmp_path_factory):
    """The frames of a training in which everything is changed in turn, its findings, and the Step of each change."""
    folder = tmp_path_factory.mktemp("own")
    script = folder / "train.py"
    script.write_text(request.param + CHANGES.replace("NAMES", repr(list(PLACES))).replace("EVERY", str(EVERY)))
    with Listener(folder / "s") as agent:
        done = run(str(script), environment(folder / "s"))
        agent.drain()
        frames = agent.frames()
    assert not kinds(frames, "Fault")
    steps = {name: int(step) for step, name in (line.split() for line in done.stdout.splitlines())}
    return frames, judged(frames, script=script, folders=(folder,)), steps


@pytest.mark.parametrize("case", PLACES)
def test_what_is_changed_is_said_by_a_prompt_inventory_within_two_updates(changed, case):
    frames, _, steps = changed
    saying = [
        frame
        for frame in kinds(frames, "Live")
        if frame.number > 1
        and frame.step + 1 >= steps[case]
        and PLACES[case] in {*frame.flags, *(subject.name for subject in frame.subjects)}
    ]
    assert saying[0].at == "changed"
    assert steps[case] <= saying[0].step + 1 <= steps[case] + 2


@pytest.mark.parametrize("case", sorted(PLACES.keys() - UNTOLD))
def test_a_finding_gives_the_step_that_was_the_first_to_be_made_with_it(changed, case):
    _, found, steps = changed
    first = min(each.first_step for each in found if each.subject == PLACES[case] and each.severity == "warning")
    assert steps[case] <= first <= steps[case] + 2


QUIET = (
    LOADED
    + """
import time
import torch
torch.manual_seed(0); torch.set_num_threads(1)
class Data(torch.utils.data.Dataset):
    def __len__(self): return 12
    def __getitem__(self, i):
        self.last = i
        setattr(self, "seen%d" % i, i)
        return torch.ones(4) * i
def counted(f):
    calls = 0
    def inner(*a):
        nonlocal calls
        calls += 1
        return f(*a)
    return inner
m = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.BatchNorm1d(8), torch.nn.Linear(8, 1))
m[0].note = counted(len)
o = torch.optim.AdamW(m.parameters(), lr=1e-3)
schedule = torch.optim.lr_scheduler.StepLR(o, 4)
for epoch in range(6):
    for x in torch.utils.data.DataLoader(Data(), batch_size=4):
        def loss_of(x): return m(x).sum()
        m[0].note(x)
        o.zero_grad(); loss_of(x).backward(); o.step()
        m.last = x
        time.sleep(0.01)
    schedule.step()
    m.eval(); m(torch.ones(2, 4)); m.train()
    import torch.utils.checkpoint, torch.fft, torch.nn.utils.parametrizations
"""
)


def test_a_program_that_only_goes_on_makes_hardly_any_prompt_inventory(tmp_path):
    script = tmp_path / "train.py"
    script.write_text(QUIET)
    with Listener(tmp_path / "s") as agent:
        run(str(script), environment(tmp_path / "s"))
        agent.drain()
        frames = agent.frames()
    assert not kinds(frames, "Fault")
    prompt = {frame.number for frame in kinds(frames, "Live") if frame.at == "changed"}
    assert len(prompt) <= 4  # what its objects and its script's own functions are made anew for, twice each
    assert [each for each in judged(frames, script=script, folders=(tmp_path,)) if each.severity != "info"] == []


LETS_GO = (
    LOADED
    + """
import gc, time, weakref
import torch
torch.manual_seed(0); torch.set_num_threads(1)
class Held: pass
class Net(torch.nn.Linear): pass
def train():
    held = Held()
    def hook(*args): held.seen = True
    class Own(Net):
        def forward(self, x, held=held): return super().forward(x)
    m = Own(4, 1)
    m.register_forward_hook(hook); m.weight.register_hook(lambda g: g if held else g)
    m.note = hook
    data = torch.utils.data.DataLoader([torch.ones(4)] * 8, batch_size=2)
    o = torch.optim.SGD(m.parameters(), lr=0.1)
    for k, x in enumerate(data):
        if k == 2: torch.nn.functional.elu = lambda x: x
        o.zero_grad(); m(x).sum().backward(); o.step()
        time.sleep(0.02)
    return [weakref.ref(one) for one in (held, m, m.weight, o, data, hook, Own)]
references = train()
gc.collect()
print([reference() is None for reference in references])
"""
)


def test_nothing_of_a_program_is_kept_alive_for_the_next_glance(tmp_path):
    script = tmp_path / "train.py"
    script.write_text(LETS_GO)
    with Listener(tmp_path / "s") as agent:
        done = run(str(script), environment(tmp_path / "s"))
        agent.drain()
        frames = agent.frames()
    assert not kinds(frames, "Fault")
    assert "changed" in {frame.at for frame in kinds(frames, "Live")}
    assert done.stdout == str([True] * 7) + "\n"


BUSY = (
    LOADED
    + """
import time
import torch
from saksi_recorder import live_glance
torch.manual_seed(0); torch.set_num_threads(1)
live_glance.FREE_NS = 0
def step(self, closure=None): return type(self).step(self, closure)
m = torch.nn.Linear(4, 1)
o = torch.optim.SGD(m.parameters(), lr=0.1)
for k in range(60):
    exec("def relu_%d(x): return x" % k)
    torch.nn.functional.relu = globals()["relu_%d" % k]
    o.zero_grad(); m(torch.ones(2, 4)).sum().backward(); o.step()
    time.sleep(0.012)
"""
)


def test_a_program_that_changes_at_every_step_does_not_pay_for_an_inventory_at_each(tmp_path):
    script = tmp_path / "train.py"
    script.write_text(BUSY)
    with Listener(tmp_path / "s") as agent:
        run(str(script), environment(tmp_path / "s"))
        agent.drain()
        frames = agent.frames()
    assert not kinds(frames, "Fault")
    prompt = {frame.number for frame in kinds(frames, "Live") if frame.at == "changed"}
    assert 1 <= len(prompt) <= 12
