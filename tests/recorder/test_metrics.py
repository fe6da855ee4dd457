"""What the program hands to a tracker is said as it was handed over, and the tracker gets what it would get."""

# ruff: noqa: E501  (scripts that run elsewhere are quoted as they are)

from __future__ import annotations

import json
from pathlib import Path

import pytest

from recorder.listener import PATH, Listener, environment, kinds, run
from recorder.trackers import write

pytestmark = pytest.mark.training

START = r"""
import json, os, pickle, sys
import numpy, torch, torch.utils
torch.utils.__path__.insert(0, os.environ["TRACKERS"] + "/for_torch")
torch.manual_seed(3)
model = torch.nn.Linear(2, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
def train():
    loss = model(torch.ones(3, 2)).square().mean()
    loss.backward()
    optimizer.step()
    return loss.detach()
"""
SCRIPT = (
    r"""
import mlflow  # before torch: what `mlflow` took from there is replaced as well
"""
    + START
    + r"""
from torch.utils.tensorboard import SummaryWriter
import wandb
class Number(float):
    def __float__(self):
        raise ValueError("asked")
class Strange:
    def __float__(self):
        raise ValueError("asked")
    def __getattr__(self, name):
        raise ValueError("asked")
writer, run = SummaryWriter(), wandb.init(project="x")
writer.add_scalar("before", 1.5)
loss = train()
writer.add_scalar("train/loss", loss, 7)
writer.add_scalar(tag="named", scalar_value=numpy.float32(0.25), global_step=numpy.int64(8))
writer.add_scalars("both", {"a": 1, "b": torch.tensor([2.0], dtype=torch.bfloat16)}, 9)
train()
wandb.log({"loss": float("nan"), "picture": Strange(), "text": "1.0", "deep": {"x": True, "deeper": {"y": 2}}, 3: 4.0})
run.log({"acc": Number(0.5), "n" * 300: 1.0, "wide": torch.ones(2), "huge": 10**400, "sparse": torch.ones(1).to_sparse()}, step=12)
run.log({"odd": numpy.array([[3.0]]), "e": numpy.array(["x"])}, step=3.5)
given = [mlflow.log_metric("m", 0.5, step=4), mlflow.log_metric("k", value=1)]
mlflow.log_metrics({"p": 1.0, "q": float("-inf")}, step=5)
try:
    wandb.log({"refused": 1.0})
except ValueError as error:
    given.append(str(error))
def wrong():
    try:
        mlflow.log_metric()
    except TypeError as error:
        return str(error)
given += [wrong(), mlflow.log_metric is mlflow.tracking.fluent.log_metric, mlflow.log_metric.__name__]
given.append(pickle.loads(pickle.dumps(mlflow.log_metric)) is mlflow.log_metric)
from torch.utils.tensorboard import writer as module
taken = [repr(one) for one in (module.TAKEN, wandb.TAKEN, mlflow.tracking.fluent.TAKEN) for one in one]
taken = [one.split(" object at ")[0] for one in taken]
print(json.dumps([given, taken, model.weight.tolist(), torch.get_rng_state().sum().item()]))
"""
)


def recorded(folder, script, *, connections=1, **more):
    trackers = write(folder / "trackers")
    more |= {"TRACKERS": str(trackers), "PYTHONPATH": f"{PATH}:{trackers}"}
    with Listener(folder / "s") as agent:
        done = run(script, environment(folder / "s", **more))
        agent.drain(connections)
        every = [agent.frames(number) for number in range(len(agent.connections))]
    assert done.stderr == ""
    return done.stdout, every


def test_the_tracker_gets_what_it_gets_without_the_recorder(tmp_path):
    trackers = str(write(tmp_path / "trackers"))
    plain = run(SCRIPT, environment(None, TRACKERS=trackers, PYTHONPATH=f"{PATH}:{trackers}")).stdout
    assert recorded(tmp_path, SCRIPT)[0] == plain


def said(frames):
    return [(one.tracker, one.at, one.step, [tuple(pair) for pair in one.values]) for one in kinds(frames, "Metric")]


def test_numbers_are_said_as_the_tracker_took_them(tmp_path):
    plain, (frames,) = recorded(tmp_path, SCRIPT)
    assert not kinds(frames, "Fault")
    assert [one.what for one in kinds(frames, "Uncovered")] == [
        "metrics in tensors that were not read"
    ]  # the sparse one
    given, *_ = json.loads(plain)
    assert given == [1, 2, "refused", given[3], True, "log_metric", True]
    assert "missing 2 required positional arguments" in given[3]
    updates = kinds(frames, "Update")
    assert said(frames) == [
        ("tensorboard", None, -1, [("before", 1.5)]),
        ("tensorboard", 7, 0, [("train/loss", updates[0].loss)]),
        ("tensorboard", 8, 0, [("named", 0.25)]),
        ("tensorboard", 9, 0, [("both/a", 1.0), ("both/b", 2.0)]),
        ("wandb", None, 1, [("loss", "NaN"), ("deep.x", 1.0), ("deep.deeper.y", 2.0)]),
        ("wandb", 12, 1, [("acc", 0.5), ("n" * 200, 1.0)]),
        ("wandb", None, 1, [("odd", 3.0)]),
        ("mlflow", 4, 1, [("m", 0.5)]),
        ("mlflow", None, 1, [("k", 1.0)]),
        ("mlflow", 5, 1, [("p", 1.0), ("q", "-Infinity")]),
    ]
    assert [one.omitted for one in kinds(frames, "Metric")] == [0] * 5 + [1] * 5


MANY = (
    START
    + r"""
import mlflow
for step in range(3):
    train()
    mlflow.log_metrics({"m%d" % number: number for number in range(50 if step != 1 else 90)}, step=step)
    mlflow.log_metric("late", 1.0)
print(len(mlflow.tracking.fluent.TAKEN), "tensorboard" in sys.modules, "wandb" in sys.modules)
"""
)


def test_beyond_the_limit_numbers_are_counted_and_a_tracker_that_nobody_loads_stays_out(tmp_path):
    plain, (frames,) = recorded(tmp_path, MANY)
    assert plain == "6 False False\n"
    assert [(len(one.values), one.omitted) for one in kinds(frames, "Metric")] == [
        (50, 0),
        (1, 0),
        (64, 26),
        (50, 27),
        (1, 27),
    ]
    (uncovered,) = kinds(frames, "Uncovered")
    assert (uncovered.what, uncovered.step) == ("metrics beyond the first 64 between two updates", 1)


CHILDREN = (
    START
    + r"""
import mlflow
train()
if os.fork() == 0:
    mlflow.log_metric("evaluated", 1.0)
    os._exit(0)
os.wait()
if os.fork() == 0:
    mlflow.log_metric("before", 1.0)
    train()
    mlflow.log_metric("loss", 2.0)
    sys.exit(0)
os.wait()
mlflow.log_metric("loss", 3.0)
print("done")
"""
)


def test_a_forked_child_says_its_own_once_it_trains(tmp_path):
    _, every = recorded(tmp_path, CHILDREN, connections=2)
    names = [[value for *_, values in said(frames) for value in values] for frames in every]
    assert names == [[("loss", 3.0)], [("loss", 2.0)]]


ON_A_DEVICE = (
    r"""
import os, sys
sys.path.insert(0, os.environ["TWIN"])
"""
    + START
    + r"""
import mlflow
if "saksi_recorder" in sys.modules:
    from twin_device import NEVER, Twin
    from saksi_recorder import metrics
    Twin(lambda number: NEVER if os.environ["NEVER"] == "yes" else 5).install()
for step in range(4):
    loss = train()
    mlflow.log_metric("loss", loss, step=step)
    mlflow.log_metric("lr", 0.1, step=step)
print(model.weight.tolist())
"""
)


def test_a_number_on_a_device_is_said_when_it_has_come_and_those_behind_it_wait(tmp_path):
    _, (frames,) = recorded(tmp_path, ON_A_DEVICE, TWIN=str(Path(__file__).parent), NEVER="no")
    assert not kinds(frames, "Fault")
    losses = {
        one.update: one.loss for one in (*kinds(frames, "Update"), *kinds(frames, "Deferred")) if one.loss is not None
    }
    assert said(frames) == [
        ("mlflow", step, step, [pair]) for step in range(4) for pair in (("loss", losses[step]), ("lr", 0.1))
    ]
    order = [type(one).__name__ for one in frames]
    assert order.index("MetricFrame") > order.index("UpdateFrame") + 1


def test_a_number_that_a_device_never_delivers_is_counted(tmp_path):
    _, (frames,) = recorded(tmp_path, ON_A_DEVICE, TWIN=str(Path(__file__).parent), NEVER="yes")
    assert not kinds(frames, "Fault")
    metrics = kinds(frames, "Metric")
    assert [tuple(pair) for one in metrics for pair in one.values] == [("lr", 0.1)] * 4
    assert metrics[-1].omitted == 4
    assert "metrics in tensors that were not read" in {one.what for one in kinds(frames, "Uncovered")}
