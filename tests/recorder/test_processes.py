"""Forks, spawned workers, dying scripts, absent agents: training goes on, and the record says what it can."""

# ruff: noqa: E501  (scripts that run elsewhere are quoted as they are)

from __future__ import annotations

import contextlib
import json
import signal
import socket
import threading
import time

import pytest

from recorder.listener import Listener, environment, kinds, run
from torch_loaded import LOADED, SETTLED

pytestmark = pytest.mark.training

TRAIN = (
    LOADED
    + r"""
import hashlib, os, random, sys, time
import torch
torch.set_num_threads(1)
torch.manual_seed(0); random.seed(0)
model = torch.nn.Linear(8, 8)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
def step():
    optimizer.zero_grad()
    model(torch.randn(4, 8)).square().mean().backward()
    optimizer.step()
def final():
    return hashlib.sha256(b"".join(p.detach().numpy().tobytes() for p in model.parameters())
        + torch.get_rng_state().numpy().tobytes() + repr(random.getstate()).encode()).hexdigest()
"""
)


def train(tail, tmp_path, *, socket_path=None, check=True, **more):
    return run(TRAIN + tail, environment(socket_path, **more), cwd=tmp_path, check=check)


def recorded(agent, tail, tmp_path, **more):
    """What the script printed and the frames that came of it, none of them a fault."""
    done = train(tail, tmp_path, socket_path=tmp_path / "s", **more)
    agent.drain()
    frames = agent.frames()
    assert not kinds(frames, "Fault")
    return done.stdout, frames


def test_switched_off_nothing_connects_and_nothing_is_patched(agent, tmp_path):
    tail = "step(); print(torch.save.__code__.co_filename.endswith('torch/serialization.py'))"
    assert train(tail, tmp_path, socket_path=tmp_path / "s", SAKSI_DISABLE="1").stdout == "True\n"
    assert agent.connections == []


def test_a_script_that_dies_says_of_what(agent, tmp_path):
    done = train("step()\nraise KeyError('gone')", tmp_path, socket_path=tmp_path / "s", check=False)
    agent.drain()
    frames = agent.frames()
    assert done.returncode == 1
    assert "saksi" not in done.stderr
    assert frames[-1].exception == "KeyError"
    assert [root.at for root in kinds(frames, "Root")] == ["attach", "exit"]


def test_an_exception_inside_a_step_leaves_no_update_and_the_next_one_counts(agent, tmp_path):
    tail = """
def closure(): raise RuntimeError("in closure")
step()
try: optimizer.step(closure)
except RuntimeError: pass
step()
other = torch.optim.SGD(model.parameters(), lr=0.1)
try: optimizer.step(closure)
except RuntimeError: pass
other.step()
step()
"""
    _, frames = recorded(agent, tail, tmp_path)
    assert [(u.optimizer, u.update) for u in kinds(frames, "Update")] == [(0, 0), (0, 1), (1, 0), (0, 2)]
    assert "optimizer steps that raised" in [one.what for one in kinds(frames, "Uncovered")]


def test_a_closure_a_wrapping_optimizer_and_super_are_one_update_each(agent, tmp_path):
    tail = """
class Twice(torch.optim.SGD):
    def step(self, closure=None):
        super().step(); return super().step(closure)
class Ahead(torch.optim.Optimizer):
    def __init__(self, inner):
        super().__init__(inner.param_groups[0]["params"], {}); self.inner = inner
    def step(self, closure=None):
        return self.inner.step(closure)
def closure():
    optimizer.zero_grad(); loss = model(torch.ones(4, 8)).square().mean(); loss.backward(); return loss
torch.optim.LBFGS(model.parameters(), max_iter=4).step(closure)
twice = Twice(model.parameters(), lr=0.1); twice.step(); twice.step()
Ahead(optimizer).step()
step()
"""
    _, frames = recorded(agent, tail, tmp_path)
    updates = kinds(frames, "Update")
    assert [(u.optimizer, u.update) for u in updates] == [(1, 0), (2, 0), (2, 1), (3, 0), (0, 0)]
    assert updates[0].losses > 1


def test_a_forked_child_that_trains_is_a_process_of_its_own(agent, tmp_path):
    tail = """
step(); step()
child = os.fork()
if child == 0:
    torch.manual_seed(5)
    step(); step(); step()
    sys.exit(0)
os.waitpid(child, 0)
idle = os.fork()
if idle == 0:
    torch.manual_seed(6)
    os._exit(0)
os.waitpid(idle, 0)
step()
"""
    train(tail, tmp_path, socket_path=tmp_path / "s")
    agent.drain(2)
    assert len(agent.connections) == 2
    parent, child = agent.frames(0), agent.frames(1)
    assert (parent[0].forked, child[0].forked) == (False, True)
    assert child[0].ppid == parent[0].pid
    assert child[0].fingerprint_key != parent[0].fingerprint_key
    assert [u.update for u in kinds(parent, "Update")] == [0, 1, 2]
    assert [u.update for u in kinds(child, "Update")] == [0, 1, 2]
    assert [root.at for root in kinds(child, "Root")] == ["attach", "exit"]
    assert len(kinds(child, "Optimizer")) == 1
    assert child[-1].updates == [3]


def test_a_forked_child_says_again_what_is_off_and_what_is_not_covered(agent, tmp_path):
    tail = """
import saksi_recorder.fingerprints as f
def broken(*a, **k): raise ValueError("no sums today")
f.sums_of_each = broken
optimizer.state["global"] = 3
step()
child = os.fork()
if child == 0:
    optimizer.state.pop("global")
    step()
    sys.exit(0)
os.waitpid(child, 0)
"""
    train(tail, tmp_path, socket_path=tmp_path / "s")
    agent.drain(2)
    for connection in range(2):
        frames = agent.frames(connection)
        assert [(one.where, one.error) for one in kinds(frames, "Fault")] == [
            ("fingerprints", "ValueError: no sums today")
        ]
        assert [one.what for one in kinds(frames, "Uncovered")] == ["optimizer state that belongs to no parameter"]


SPAWN = (
    LOADED
    + """
import sys, torch
from torch.utils.data import DataLoader, Dataset
class Data(Dataset):
    def __len__(self): return 4
    def __getitem__(self, i): return torch.tensor(["saksi_recorder.attach" in sys.modules, "saksi_recorder.steps" in sys.modules])
if __name__ == "__main__":
    model = torch.nn.Linear(2, 1); optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for x in DataLoader(Data(), batch_size=2, num_workers=1, multiprocessing_context=sys.argv[1] if len(sys.argv) > 1 else METHOD):
        model(x.float()).sum().backward(); optimizer.step()
        print(x.all().item())
"""
)


@pytest.mark.parametrize("method", ["spawn", "forkserver", "fork"])
def test_workers_of_every_kind_come_and_go(agent, tmp_path, method):
    script = tmp_path / "train.py"
    script.write_text(f"METHOD = {method!r}; {SPAWN}")
    done = run(str(script), environment(tmp_path / "s"))
    assert done.stdout.split() == ["True", "True"]
    agent.drain()
    frames = next(agent.frames(i) for i in range(len(agent.connections)) if kinds(agent.frames(i), "Update"))
    assert [batch.ids for u in kinds(frames, "Update") for batch in u.batches] == [[0, 1], [2, 3]]
    assert not kinds(frames, "Fault")
    assert frames[-1].updates == [2]


MULTIPROCESSING = (
    LOADED
    + """
import torch, torch.multiprocessing as mp, os
def work(rank, port):
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{os.environ['FOLDER']}/rendezvous", rank=rank, world_size=2)
    model = torch.nn.parallel.DistributedDataParallel(torch.nn.Linear(4, 1)); optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(3):
        model(torch.full((2, 4), rank + 1.0)).sum().backward(); optimizer.step()
    torch.distributed.destroy_process_group()
    SETTLED
if __name__ == "__main__":
    mp.spawn(work, args=(0,), nprocs=2)
"""
)


def test_ranks_that_learn_their_rank_late_attach_under_it(agent, tmp_path):
    script = tmp_path / "train.py"
    script.write_text(MULTIPROCESSING.replace("SETTLED", SETTLED))
    run(str(script), environment(tmp_path / "s", FOLDER=str(tmp_path)))
    agent.drain()
    trained = [agent.frames(i) for i in range(len(agent.connections)) if kinds(agent.frames(i), "Update")]
    assert sorted((frames[0].rank, frames[0].world_size) for frames in trained) == [(0, 2), (1, 2)]
    for frames in trained:
        assert not kinds(frames, "Fault")
        assert len(kinds(frames, "Update")) == 3
        assert frames[-1].updates == [3]
        assert frames[0].lost == 0


LOOP = "for _ in range(300): step()\nprint(final())\n"


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """What the loop ends in where nothing records it."""
    return train(LOOP, tmp_path_factory.mktemp("plain"), PYTHONPATH="").stdout


@pytest.mark.parametrize("state", ["absent", "closes midway", "stops reading"])
def test_without_an_agent_that_listens_training_is_the_same(plain, tmp_path, state):
    with contextlib.ExitStack() as stack:
        if state != "absent":
            agent = stack.enter_context(Listener(tmp_path / "s", reading=False))
        if state == "closes midway":

            def hang_up():
                while not agent.sockets:
                    time.sleep(0.01)
                agent.sockets[0].recv(100)
                agent.sockets[0].shutdown(socket.SHUT_RDWR)
                (tmp_path / "s").unlink()

            threading.Thread(target=hang_up, daemon=True).start()
        start = time.monotonic()
        done = train(LOOP, tmp_path, socket_path=tmp_path / "s", SAKSI_LEVEL="full")
        assert done.stdout == plain
        assert done.stderr == ""
        assert time.monotonic() - start < 40


def test_a_signal_handlers_exception_reaches_the_script(agent, tmp_path):
    tail = """
import signal
class Timeout(Exception): pass
def ring(*_): raise Timeout
signal.signal(signal.SIGALRM, ring)
import saksi_recorder.generators as g
original = g._sha
def slow(*a):
    signal.raise_signal(signal.SIGALRM)
    return original(*a)
g._sha = slow
try: step()
except Timeout: print("reached")
g._sha = original
step()
"""
    printed, frames = recorded(agent, tail, tmp_path)
    assert printed == "reached\n"
    assert [u.update for u in kinds(frames, "Update")] == [1]


def test_a_part_that_fails_says_so_once_and_the_rest_goes_on(agent, tmp_path):
    tail = """
import saksi_recorder.fingerprints as f
def broken(*a, **k): raise ValueError("no sums today")
f.sums_of_each = broken
for _ in range(3): step()
print(final())
"""
    plain = train("for _ in range(3): step()\nprint(final())", tmp_path, PYTHONPATH="").stdout
    assert train(tail, tmp_path, socket_path=tmp_path / "s").stdout == plain
    agent.drain()
    frames = agent.frames()
    assert [(one.where, one.error) for one in kinds(frames, "Fault")] == [("fingerprints", "ValueError: no sums today")]
    assert [update.fingerprints for update in kinds(frames, "Update")] == [[], [], []]
    assert len(kinds(frames, "Update")[0].rng) >= 2


def test_a_scaler_leaves_out_nothing_that_is_known_once_steps_are_off(agent, tmp_path):
    tail = """
import saksi_recorder.steps as s
def broken(*a, **k): raise ValueError("no steps today")
scaler = torch.amp.GradScaler("cpu", init_scale=4.0)
def scaled():
    optimizer.zero_grad()
    scaler.scale(model(torch.randn(4, 8)).square().mean()).backward()
    scaler.step(optimizer); scaler.update()
scaled()
s._close, close = broken, s._close
scaled()
s._close = close
scaled(); scaled()
"""
    train(tail, tmp_path, socket_path=tmp_path / "s")
    agent.drain(1)
    frames = agent.frames(0)
    assert [(one.where, one.error) for one in kinds(frames, "Fault")] == [("steps", "ValueError: no steps today")]
    assert [(update.update, update.skipped) for update in kinds(frames, "Update")] == [(0, False)]


def test_an_update_whose_flag_lies_on_a_device_is_said_not_to_be_known(agent, tmp_path):
    tail = """
class Fused(torch.optim.Optimizer):  # asks the flag itself, as a fused kernel does
    def __init__(self, parameters): super().__init__(parameters, {})
    def step(self): pass
fused = Fused(model.parameters()); step()
fused.step()
fused.found_inf = torch.zeros(1, device="meta")
fused.step(); fused.step()
"""
    _, frames = recorded(agent, tail, tmp_path)
    assert [update.skipped for update in kinds(frames, "Update")] == [False] * 4
    assert [one.what for one in kinds(frames, "Uncovered")] == ["updates that a scaler left out of a fused optimizer"]


ANEW = """
for made in range(70):
    again = torch.optim.SGD(model.parameters(), lr=0.1)
    waits = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(1 + made % 2):
        again.zero_grad()
        model(torch.randn(4, 8)).square().mean().backward()
        again.step()
"""


def test_an_optimizer_made_anew_for_each_update_is_no_training_by_hand(agent, tmp_path):
    _, frames = recorded(agent, ANEW, tmp_path)
    assert len(kinds(frames, "Update")) == 105
    assert "updates that no optimizer's step makes" not in [one.what for one in kinds(frames, "Uncovered")]


def test_modes_and_generators_of_the_user_see_nothing(agent, tmp_path):
    tail = """
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
seen = []
class Functions(TorchFunctionMode):
    def __torch_function__(self, function, types, args=(), kwargs=None):
        seen.append(str(getattr(function, "__name__", function))); return function(*args, **(kwargs or {}))
class Operators(TorchDispatchMode):
    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        seen.append(str(function)); return function(*args, **(kwargs or {}))
with Functions(), Operators():
    for _ in range(12): step()
import hashlib
print(len(seen), hashlib.sha256("".join(seen).encode()).hexdigest(), final())
print([p._version for p in model.parameters()])
"""
    plain = train(tail, tmp_path, PYTHONPATH="").stdout
    printed, frames = recorded(agent, tail, tmp_path, SAKSI_LEVEL="full")
    assert printed == plain
    hooks = kinds(frames, "Inventory")[0].hooks
    assert hooks["modes.function"] == ["__main__.Functions"]
    assert hooks["modes.dispatch"] == ["__main__.Operators"]


def test_what_is_not_read_is_named(agent, tmp_path):
    tail = """
meta = torch.nn.Linear(2, 2, device="meta")
embedding = torch.nn.Embedding(10, 2, sparse=True)
second = torch.optim.SGD([{"params": list(meta.parameters())}, {"params": list(embedding.parameters())}], lr=0.1)
for p in meta.parameters(): p.grad = torch.zeros_like(p)
second.step(); second.step()
step()
"""
    _, frames = recorded(agent, tail, tmp_path)
    assert [one.what for one in kinds(frames, "Uncovered")] == ["tensors on meta"]
    assert len(kinds(frames, "Update")) == 3


def test_a_killed_process_leaves_what_it_sent(agent, tmp_path):
    done = train("step(); step(); os.kill(os.getpid(), 9)", tmp_path, socket_path=tmp_path / "s", check=False)
    assert done.returncode == -signal.SIGKILL
    agent.drain()
    assert len(kinds(agent.frames(), "Update")) == 2


def test_everything_patched_can_be_put_back(agent, tmp_path):
    tail = """
from saksi_recorder import batches, files, generators, gradients, modules, optimizers, steps
step()
for part in (batches, files, generators, gradients, modules, optimizers, steps): part.restore()
from torch.optim import optimizer as o
from torch.nn.modules import module as m
print([f.__code__.co_filename.count("saksi_recorder") for f in (torch.save, torch.load, torch.manual_seed, torch.autograd.backward,
    torch.nn.utils.clip_grad_norm_, torch.optim.Optimizer.__init__, torch.utils.data.dataloader._BaseDataLoaderIter.__next__)],
    random.seed is random._inst.seed or random.seed == random._inst.seed, len(o._global_optimizer_pre_hooks), len(m._global_parameter_registration_hooks))
"""
    assert train(tail, tmp_path, socket_path=tmp_path / "s").stdout == "[0, 0, 0, 0, 0, 0, 0] True 0 0\n"


def test_names_and_signatures_stay_natural(agent, tmp_path):
    tail = """
import inspect, json
print(json.dumps([torch.save.__module__, torch.save.__name__, str(inspect.signature(torch.load)), torch.optim.Optimizer.__init__.__qualname__]))
"""
    plain = train(tail, tmp_path, PYTHONPATH="").stdout
    assert json.loads(train(tail, tmp_path, socket_path=tmp_path / "s").stdout) == json.loads(plain)
