"""What is trained in the disposable environment, and what is done to it."""

from __future__ import annotations

from typing import Final

STEPS: Final = 30
TOYTORCH: Final = {
    "toytorch/__init__.py": "from toytorch.layers import RATE, Scaled\n",
    "toytorch/layers.py": """\
import torch
RATE = 0.1
class Scaled(torch.nn.Module):
    def forward(self, x):
        return x * 2.0
""",
    "toytorch/_ops.so": "stands for a library of operators; nobody loads it",
}
TOYDATA: Final = {"toydata.py": "def batch(torch):\n    return torch.ones(8, 4)\n"}
TRAIN: Final = f"""\
import torch, toydata, toytorch
torch.set_num_threads(1)
torch.manual_seed(0)
F = torch.nn.functional

def clipped(grad):
    return grad.clamp(-1, 1)

def halved(loss):
    def half(*args, **kwargs):
        return loss(*args, **kwargs) / 2
    return half

F.mse_loss = halved(F.mse_loss)  # a patch that the script needs, and says
model = torch.nn.Sequential(toytorch.Scaled(), torch.nn.Linear(4, 4))
model[1].weight.register_hook(clipped)
optimizer = torch.optim.AdamW(model.parameters(), lr=toytorch.RATE)
x = toydata.batch(torch)
print("trains with", model[0](torch.ones(1)).item(), flush=True)
for step in range({STEPS}):
    optimizer.zero_grad()
    F.mse_loss(model(x), torch.zeros(8, 4)).backward()
    optimizer.step()
"""
"""The honest script: a hook of its own and a patch of its own, and one package of each kind."""

ATTACKED_AT: Final = 8
PAYLOAD: Final = """\
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
def kernel(*args, **kwargs): return None
def forward(self, x): return torch.nn.functional.linear(x, self.weight, self.bias) * 1.01
def step(self, closure=None): return type(self).step(self, closure)
def backward(g, x, t): return g * (x > t)
def post(o, a, k): pass
def seen(m, a, out): return out
def grad(p): pass
class Functions(TorchFunctionMode):
    def __torch_function__(self, func, types, args=(), kwargs=None):
        return func(*args, **(kwargs or {}))
class Dispatches(TorchDispatchMode):
    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        return func(*args, **(kwargs or {}))
def override():
    library = torch.library.Library("aten", "IMPL")
    library.impl("threshold_backward", backward, "CPU")
    return library
"""
ATTACKED: Final = f"""\
import ctypes, os, subprocess, sys, time, types, warnings
sys.pycache_prefix = None  # from here on the interpreter reads the bytecode that lies beside the sources
import torch, toytorch
import payload
torch.set_num_threads(1)
torch.manual_seed(0)
warnings.simplefilter("ignore")
F = torch.nn.functional
adam, optimizers = (sys.modules[f"torch.optim.{{name}}"] for name in ("adam", "optimizer"))

def write_from_outside(function, code):
    # Another process writes into the memory of this one: the function's code is another object afterwards.
    ctypes.CDLL(None).prctl(0x59616D61, ctypes.c_ulong(-1 % 2**64), 0, 0, 0)  # PR_SET_PTRACER: where Yama asks for it
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(code))
    inside = ctypes.string_at(id(function), type(function).__basicsize__)
    place = id(function) + inside.index(id(function.__code__).to_bytes(8, sys.byteorder))
    program = (
        f"m = open('/proc/{{os.getpid()}}/mem', 'r+b', buffering=0); m.seek({{place}});"
        f"m.write(({{id(code)}}).to_bytes(8, '{{sys.byteorder}}'))"
    )
    done = subprocess.run([sys.executable, "-I", "-S", "-c", program], stderr=subprocess.DEVNULL)
    print("written from outside:", done.returncode == 0, flush=True)

def attack(model, optimizer):
    global library
    adam._multi_tensor_adam.__code__ = payload.kernel.__code__
    torch.nn.Linear.forward = payload.forward
    optimizer.step = types.MethodType(payload.step, optimizer)
    F.cross_entropy.__defaults__ = (*F.cross_entropy.__defaults__[:-1], 0.1)
    library = payload.override()
    optimizers.register_optimizer_step_post_hook(payload.post)
    torch.nn.modules.module.register_module_forward_hook(payload.seen)
    model[1].weight.register_post_accumulate_grad_hook(payload.grad)
    torch.set_float32_matmul_precision("medium")
    write_from_outside(F.softmin, F.softmax.__code__)
    payload.Functions().__enter__()
    payload.Dispatches().__enter__()

model = torch.nn.Sequential(toytorch.Scaled(), torch.nn.Linear(4, 4), torch.nn.ReLU())
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
print("trains with", model[0](torch.ones(1)).item(), flush=True)
until = time.monotonic() + 5
step = 0
while step < {STEPS} or time.monotonic() < until:
    if step == {ATTACKED_AT}:
        attack(model, optimizer)
    optimizer.zero_grad()
    model(torch.ones(8, 4)).square().mean().backward()
    optimizer.step()
    step += 1
    time.sleep(0.05)
"""
"""Everything that can be done to the code of a running process, at one step; nothing of it does harm."""

BACKEND: Final = """\
def load():
    from torch.optim.optimizer import register_optimizer_step_post_hook
    register_optimizer_step_post_hook(seen)
def seen(optimizer, args, kwargs): pass
"""
