"""State that lies on a device: the same values as from memory, later; and training that does not notice.

There is no device here. `twin_device.py` plays one: it does what it is asked in order, and says when it is done.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from recorder.listener import Listener, environment, kinds, run
from saksi.judgement.deferral import Deferral
from saksi.words.frames import UpdateFrame
from torch_loaded import LOADED

pytestmark = pytest.mark.training

# Each way trains in a forked child, so that each is the first optimizer of a process.
SCRIPT = (
    LOADED
    + r"""
import gc, hashlib, json, os, random, sys
import torch
from torch.multiprocessing.reductions import StorageWeakRef
torch.set_num_threads(1)
sys.path.insert(0, os.environ["TWIN"])
from saksi_recorder import device_sums, guard, pinned, readings, session, staged
import torch._dynamo  # an optimizer loads it: once for all ways
import twin_device
from twin_device import NEVER, Twin

def build(name):
    torch.manual_seed(1)
    parts = torch.nn.ModuleDict({
        "conv": torch.nn.Conv2d(3, 5, 3).to(memory_format=torch.channels_last),
        "norm": torch.nn.BatchNorm2d(5),
        "wide": torch.nn.Linear(180, 301),      # more than a chunk, and a tail
        "narrow": torch.nn.Linear(301, 9).to(torch.bfloat16)})
    flat = torch.randn(2001)
    parts.odd = torch.nn.Parameter(flat[1:1900])  # begins between two words
    if name == "many":
        parts.small = torch.nn.ParameterList([torch.randn(3 + i % 5) for i in range(70)])
    return parts

def loss_of(parts, x):
    y = parts.norm(parts.conv(x)).flatten(1)
    y = parts.narrow(parts.wide(y).to(torch.bfloat16)).float().square().mean() + parts.odd.square().mean()
    return y + sum(one.square().sum() for one in getattr(parts, "small", []))

def train(name, twin=None, steps=13):
    session.key = b"\1" * 32
    parts = build(name)
    more = {"lr": torch.tensor(1e-2), "foreach": False} if name != "fused" else {"lr": 1e-2, "fused": True}
    optimizer = torch.optim.AdamW(parts.parameters(), **more)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 4, 0.5)
    scaler = torch.amp.GradScaler("cpu", init_scale=4.0, growth_interval=100)
    for step in range(steps):
        if twin is not None and name == "captured":
            twin.capturing = 4 <= step < 6
        if twin is not None and name == "full":
            twin.full = step == 5
        if twin is not None and name == "broken":
            twin.broken = step == 5
        x = torch.randn(4, 3, 8, 8)
        optimizer.zero_grad()
        loss = loss_of(parts, x)
        if name == "fused" and step == 3:
            loss = loss * float("inf")
        (scaler.scale(loss) if name == "fused" else loss).backward()
        torch.nn.utils.clip_grad_norm_(parts.parameters(), 0.5)
        if name == "fused":
            scaler.step(optimizer); scaler.update()
        else:
            optimizer.step()
        with torch.no_grad():
            parts.wide.weight.data.clamp_(-0.1, 0.1)  # changed after the step returned, seen by no counter
        scheduler.step()
        if name == "late" and step == 7:  # as a program does that needs the memory for something else
            held = StorageWeakRef(parts.wide.weight.untyped_storage())
            parts.wide.weight.data = parts.wide.weight.data.clone()
            assert held.expired(), "the recorder holds on to memory"
    h = hashlib.sha256()
    for t in [*parts.state_dict().values(), *(v for s in optimizer.state_dict()["state"].values() for v in s.values())]:
        h.update(t.detach().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    h.update(torch.get_rng_state().numpy().tobytes())
    if name == "late":
        assert readings.flying
        held = StorageWeakRef(parts.wide.weight.untyped_storage())
        del parts, optimizer, scheduler, scaler, loss, t
        gc.collect()
        assert held.expired(), "the recorder holds on to the model"
    return h.hexdigest()

gc.collect(); gc.freeze()  # the children need not look at what torch is made of
late = random.Random(5)
patiences = {
    "late": lambda n: 7, "many": lambda n: 2, "fused": lambda n: 3, "never": lambda n: NEVER,
    "disorder": lambda n: late.randrange(1, 40), "stuck": lambda n: NEVER if 20 < n < 30 else 1,
}
for way in sys.argv[1:]:
    name, _, kind = way.partition("-")
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        twin = None
        if kind == "twin" and name != "nothing":
            devices = 3 if name == "several" else 1
            twin = Twin(patiences.get(name, lambda n: 2), devices=devices, scalars=name != "mixed").install()
        elif kind == "twin":  # a device of a kind that this torch does not know
            twin = Twin(); twin.install(); twin_device.device._known.clear(); twin = None
        if name == "pieces":
            device_sums.SCRATCH_ROWS, device_sums.DIRECT_ROWS, staged.PIECE, staged.AT_ONCE = 4, 3, 1000, 1000
            staged.CHUNK = 4096
        if name == "growing":  # room for weights and moments once, if all that held the weights alone is used again
            staged.CHUNK, staged.limit = 1 << 16, lambda: 11 << 16
        if name == "threadless":
            def refuse(*_): raise RuntimeError("can't start new thread")
            staged.AT_ONCE, staged._thread.start_new_thread = 0, refuse
        if name == "small":
            os.environ["SAKSI_STAGING_MIB"] = "0"
        said = {"weights": train(name, twin)}
        if twin is not None:
            said.update(pinned=twin.pinned_bytes, flying=len(readings.flying), refused=readings.refused)
        os.write(writing, json.dumps(said).encode())
        sys.exit(0)
    os.close(writing)
    assert os.waitpid(child, 0)[1] == 0, way
    print(json.dumps([way, json.loads(os.read(reading, 10000))]))
    os.close(reading)
"""
)
HERE = str(Path(__file__).parent)
WAYS = (
    *("plain-cpu", "many-cpu", "fused-cpu", "late-twin", "many-twin", "fused-twin", "several-twin", "mixed-twin"),
    *("pieces-twin", "disorder-twin", "never-twin", "stuck-twin", "captured-twin", "full-twin", "broken-twin"),
    *("nothing-twin", "small-twin", "threadless-twin", "growing-twin"),
)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """What each way's recorder said, and what its script did; and what the scripts did without a recorder."""
    folder = tmp_path_factory.mktemp("devices")
    with Listener(folder / "s") as agent:
        done = run(SCRIPT.replace("sys.argv[1:]", repr(WAYS)), environment(folder / "s", TWIN=HERE))
        agent.drain(len(WAYS) + 1)
        every = [agent.frames(number) for number in range(len(agent.connections))]
        assert not any(b'"deferred"' in packet for packet in agent.connections[1])  # on CPUs nothing is said otherwise
    said = dict(json.loads(line) for line in done.stdout.splitlines())
    assert list(said) == list(WAYS)
    return {way: (said[way], frames) for way, frames in zip(WAYS, every[1:], strict=True)}


def updates_of(frames):
    """The updates as readers see them."""
    deferral = Deferral()
    out = [frame for each in frames for frame, _ in deferral.take(each, None)]
    return [each for each in (*out, *(frame for frame, _ in deferral.rest())) if isinstance(each, UpdateFrame)]


def values_of(update):
    # Counters are in a digest of their own only where they lie in memory; the shares have them anyway.
    shared = [one for one in update.fingerprints if one.over != "counters"]
    prints = {(one.name, one.over, one.share, one.of): (one.start, one.end) for one in shared}
    return update.loss, update.gradient_norm, update.groups, update.skipped, prints


def roots_of(frames):
    return {(root.at, root.step): (root.root, root.layout, root.bytes) for root in kinds(frames, "Root")}


def reasons_of(frames):
    return {one.what: one.reason for one in kinds(frames, "Uncovered")}


def test_training_ends_in_the_same_bits_whatever_the_device_does(trained):
    for way, (said, frames) in trained.items():
        twin = {"many-twin": "many-cpu", "fused-twin": "fused-cpu"}.get(
            way, way if way.endswith("cpu") else "plain-cpu"
        )
        assert said["weights"] == trained[twin][0]["weights"], way
        assert len(kinds(frames, "Update")) == 13, way
        assert type(frames[-1]).__name__ == "DetachFrame"
        assert frames[-1].lost == 0


@pytest.mark.parametrize(
    ("way", "like"),
    [
        ("late", "plain"),
        ("several", "plain"),
        ("mixed", "plain"),
        ("pieces", "plain"),
        ("disorder", "plain"),
        ("fused", "fused"),
        ("growing", "plain"),
    ],
)
def test_what_comes_later_is_what_memory_holds(trained, way, like):
    frames, plain = trained[f"{way}-twin"][1], trained[f"{like}-cpu"][1]
    assert not kinds(frames, "Fault")
    found, expected = updates_of(frames), updates_of(plain)
    assert all(not update.deferred for update in found)
    assert [values_of(update) for update in found] == [values_of(update) for update in expected]
    assert roots_of(frames) == roots_of(plain)
    assert ("step", 9) in roots_of(frames)
    assert reasons_of(frames) == reasons_of(plain)
    assert not kinds(plain, "Deferred")
    assert all(update.deferred for update in kinds(frames, "Update"))
    assert [one.update for one in kinds(frames, "Deferred")] == list(range(13))


def test_a_skipped_update_of_a_fused_optimizer_is_known_later(trained):
    frames = trained["fused-twin"][1]
    assert [update.skipped for update in kinds(frames, "Update")] == [False] * 13
    assert [update.update for update in updates_of(frames) if update.skipped] == [3]


def test_of_many_tensors_a_share_is_read_at_each_end(trained):
    frames, plain = trained["many-twin"][1], trained["many-cpu"][1]
    assert {
        (one.over, one.of) for update in updates_of(plain) for one in update.fingerprints if one.name == "sum64-4096"
    } == {
        ("parameters", 1),
        ("moments", 8),
    }
    ends, compared = {}, 0
    for update in updates_of(frames):
        mine = [one for one in update.fingerprints if (one.name, one.over) == ("sum64-4096", "parameters")]
        assert {one.of for one in mine} == {8}
        assert {one.share for one in mine} <= {update.update % 8, (update.update + 1) % 8}
        for one in mine:
            if one.start is not None and one.share in ends:
                compared += (
                    ends[one.share] != one.start
                )  # each step, the script changes a weight that has its turn once
        ends = {one.share: one.end for one in mine if one.end is not None}
    assert 1 <= compared <= 2
    assert roots_of(frames) == roots_of(plain)


def test_a_device_that_never_delivers_stops_nothing_and_holds_little(trained):
    said, frames = trained["never-twin"]
    assert not kinds(frames, "Fault")
    assert said["flying"] <= 256
    assert said["pinned"] <= 33 << 20
    assert [one.update for one in kinds(frames, "Deferred")] == list(range(13))
    assert all(one.lacking and one.reason for one in kinds(frames, "Deferred"))
    assert all(update.loss is None and "loss" in update.deferred for update in updates_of(frames))
    assert kinds(frames, "Root") == []
    reasons = reasons_of(frames)
    assert "state roots that a device did not deliver" in reasons
    assert "announced and did not come" in reasons["how often a device was not read"]


def test_what_is_stuck_is_given_up_and_what_comes_after_it_is_said(trained):
    frames = trained["stuck-twin"][1]
    lacking = {one.update: one.lacking for one in kinds(frames, "Deferred")}
    assert any(lacking.values())
    assert not all(lacking.values())
    assert list(lacking) == list(range(13))


def test_nothing_is_asked_while_a_graph_is_captured(trained):
    said, frames = trained["captured-twin"]
    assert not kinds(frames, "Fault")  # the twin fails whoever asks
    assert reasons_of(frames)["values on a device that were not read"] == "a graph was being captured"
    assert said["refused"]["a graph was being captured"] >= 4
    updates = updates_of(frames)
    assert [update.update for update in updates if update.loss is None] == [4, 5]
    assert all(update.fingerprints for update in updates if update.update not in (4, 5))


def test_a_device_without_memory_is_left_alone_for_a_while(trained):
    said, frames = trained["full-twin"]
    assert not kinds(frames, "Fault")
    assert "the device or the host had no memory for it" in said["refused"]
    assert said["refused"]["the device was out of memory a while ago"] > 4
    assert [update.update for update in updates_of(frames) if update.fingerprints] == [0, 1, 2, 3, 4]
    assert [step for at, step in roots_of(frames)] == [-1]
    assert "state roots that were not taken of a device" in reasons_of(frames)


def test_a_device_that_fails_is_asked_no_more(trained):
    frames = trained["broken-twin"][1]
    (fault,) = kinds(frames, "Fault")
    assert (fault.where, fault.error) == ("device", "RuntimeError: the twin has failed")
    updates = updates_of(frames)
    assert [update.update for update in updates if update.loss is not None] == [0, 1, 2, 3, 4][
        : sum(u.loss is not None for u in updates)
    ]
    assert sum(update.loss is not None for update in updates) >= 3
    assert any(one.reason == "asking the device failed" for one in kinds(frames, "Deferred"))


def test_a_kind_of_device_without_what_is_needed_is_not_covered(trained):
    frames = trained["nothing-twin"][1]
    assert reasons_of(frames)["tensors on twin"].startswith("not read: this torch has no torch.twin")
    assert kinds(frames, "Deferred") == []
    assert not kinds(frames, "Fault")


def test_state_that_has_no_room_in_pinned_memory_is_left_out_of_roots(trained):
    frames = trained["small-twin"][1]
    reason = reasons_of(frames)["the state on twin"]
    assert reason == "no root covers it: its copy would need 1 MiB of pinned memory, and 0 are allowed"
    assert len(kinds(frames, "Deferred")) == 13
    assert all(update.fingerprints for update in updates_of(frames))


def test_where_no_thread_can_hash_there_is_no_root_and_the_rest_is_as_it_was(trained):
    frames = trained["threadless-twin"][1]
    assert not kinds(frames, "Fault")
    assert kinds(frames, "Root") == []
    assert reasons_of(frames)["state roots that a device did not deliver"] == "its bytes could not be hashed"
    expected = updates_of(trained["plain-cpu"][1])
    assert [values_of(update) for update in updates_of(frames)] == [values_of(update) for update in expected]


INFERRING = (
    LOADED
    + r"""
import os, sys
import torch
sys.path.insert(0, os.environ["TWIN"])
from saksi_recorder import device
from torch.utils._python_dispatch import TorchDispatchMode

class NoPinning(TorchDispatchMode):  # there is nothing here to pin memory for
    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        return func(*args, **{key: value for key, value in (kwargs or {}).items() if key != "pin_memory"})

accelerator = device.Accelerator("cpu", None)
with torch.inference_mode(), NoPinning():
    made = accelerator.pinned(64), accelerator.empty(0, 8)
for each in made:
    each.copy_(torch.ones_like(each))  # refused for a tensor of inference mode
    print(each.is_inference(), int(each.sum()))
"""
)


def test_memory_taken_within_inference_mode_may_be_written_outside_of_it(agent):
    done = run(INFERRING, environment(agent.path, TWIN=HERE))
    assert done.stdout.splitlines() == ["False 64", "False 8"]


STAGING = (
    LOADED
    + r"""
import os, sys
import torch
sys.path.insert(0, os.environ["TWIN"])
from saksi_recorder import device, memory, readings, staged
from twin_device import NEVER, Twin

twin = Twin(lambda number: NEVER if number <= 300 else 1).install()
device.install()
staged.CHUNK, staged.limit = 1 << 16, lambda: 400 << 16
with memory.quiet():
    root = staged.ask([torch.zeros(300 << 14)])
    found = readings.scalar(torch.tensor(1.0))
    readings.look()
print(root is not None and not root.is_there(), found is not None and found.value(), readings.refused)
"""
)


def test_a_root_of_many_chunks_leaves_room_for_the_values_of_updates(agent):
    done = run(STAGING, environment(agent.path, TWIN=HERE))
    assert done.stdout.splitlines() == ["True 1.0 {}"]


ACCUMULATING = (
    LOADED
    + r"""
import os, sys
import torch
sys.path.insert(0, os.environ["TWIN"])
from saksi_recorder import device, memory, readings
from twin_device import Twin

Twin().install()
device.install()
with memory.quiet():
    found = [readings.scalar(torch.tensor(float(number))) for number in range(1000)]
print(sum(one is None for one in found), readings.refused)
"""
)


def test_between_two_updates_more_is_read_than_may_be_under_way(agent):
    done = run(ACCUMULATING, environment(agent.path, TWIN=HERE))
    assert done.stdout.splitlines() == ["0 {}"]
