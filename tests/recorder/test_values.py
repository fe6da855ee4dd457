"""What the user's own values look like in a frame: the same in every process, and never read for it."""

# ruff: noqa: E501  (scripts that run elsewhere are quoted as they are)

from __future__ import annotations

import hashlib
import json
import struct

import pytest

from recorder.listener import environment, kinds, run
from torch_loaded import LOADED

pytestmark = pytest.mark.training

GROUPS = (
    LOADED
    + """
import collections, dataclasses, enum, functools, torch, numpy
read = []
class Watched(torch.Tensor):
    def __repr__(self, **_): read.append(1); return "read"
class Mode(enum.Enum): FAST = 1
class Plain: pass
class Speaking:
    def __init__(self): self.held = Watched()
    def __repr__(self): return "Speaking %r" % self.held
@dataclasses.dataclass
class Holding:
    held: torch.Tensor
def schedule(): pass
held = torch.ones(3).as_subclass(Watched)
optimizer = torch.optim.SGD(torch.nn.Linear(1, 1).parameters(), lr=0.1)
optimizer.param_groups[0].update(
    function=schedule, bound=[].append, part=functools.partial(schedule), plain=Plain(), speaking=Speaking(),
    holding=Holding(held), many=[held] * 40, deep=[[[[held]]]], queue=collections.deque([held]), view={1: held}.values(),
    mode=Mode.FAST, dtype=torch.float32, small=numpy.float32(0.5), double=numpy.float64(0.25), long=list(range(40)))
optimizer.step()
assert not read
"""
)


def test_a_value_of_the_user_is_said_without_addresses_and_without_reading_tensors(agent, tmp_path):
    run(GROUPS, environment(tmp_path / "s"))
    agent.drain(1)
    (update,) = kinds(agent.frames(0), "Update")
    group = update.groups[0]
    assert "0x" not in json.dumps(group)
    assert (group["function"], group["mode"]) == ("__main__.schedule", "__main__.Mode.FAST")
    assert (group["plain"], group["speaking"], group["holding"]) == (
        "__main__.Plain",
        "__main__.Speaking",
        "__main__.Holding",
    )
    assert (group["queue"], group["deep"]) == ("collections.deque", [[["builtins.list of 1"]]])
    assert (group["dtype"], group["double"]) == ("torch.float32", 0.25)
    assert group["many"][-1] == "and 8 more"
    assert group["long"] == [*range(32), "and 8 more"]


BATCHES = (
    LOADED
    + """
import dataclasses, json, torch, numpy
from collections import UserDict
from torch.utils.data import DataLoader
class Encoding(UserDict):
    def items(self): raise RuntimeError("worked out as it is asked for")
@dataclasses.dataclass
class Pair:
    x: torch.Tensor
    y: int
class Strange: pass
numbers = numpy.arange(6, dtype="<i4").reshape(2, 3)
made = {
    "encoding": Encoding(ids=torch.ones(2)), "pair": Pair(torch.ones(2), 1), "array": numbers, "turned": [numbers.T],
    "mixed": {"x": torch.ones(2), "more": Strange()}, "strange": Strange(), "words": ["a", "b"],
    "many": [torch.ones(1), list(range(20_000))], "objects": numpy.array([None]), "empty": numpy.ones((0, 2), "<f4"),
    "large": numpy.ones(1 << 18), "again": Strange(),
}
model = torch.nn.Linear(1, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for batch in DataLoader(list(made.values()), batch_size=None, collate_fn=lambda one: one):
    optimizer.step()
print(json.dumps(list(made)))
"""
)


def of(path, dtype, shape, content):
    line = json.dumps([path, dtype, shape], separators=(",", ":")) + "\n"
    return "sha256:" + hashlib.sha256(line.encode() + content).hexdigest()


def test_batches_of_every_common_class_have_a_digest_or_are_named(agent, tmp_path):
    done = run(BATCHES, environment(tmp_path / "s"))
    agent.drain(1)
    frames = agent.frames(0)
    assert not kinds(frames, "Fault")
    digests = [batch.digest for update in kinds(frames, "Update") for batch in update.batches]
    found = dict(zip(json.loads(done.stdout), digests, strict=True))
    ones = struct.pack("<2f", 1, 1)
    large = found.pop("large")
    assert large.startswith("sum64-4096:")
    assert found == {
        "encoding": of("/ids", "torch.float32", [2], ones),
        "pair": of("/x", "torch.float32", [2], ones),
        "array": of("", "numpy.<i4", [2, 3], struct.pack("<6i", *range(6))),
        "turned": of("/0", "numpy.<i4", [3, 2], struct.pack("<6i", 0, 3, 1, 4, 2, 5)),
        "mixed": of("/x", "torch.float32", [2], ones),
        "empty": of("", "numpy.<f4", [0, 2], b""),
        **dict.fromkeys(("strange", "words", "many", "objects", "again")),
    }
    assert [one.what for one in kinds(frames, "Uncovered")] == [
        "what batches hold in objects of class __main__.Strange",
        "batches without a tensor or an array",
        "batches of more than 10000 values",
        "what batches hold in objects of class numpy.ndarray",
    ]


FETCHED = (
    LOADED
    + """
import queue, threading, torch
from torch.utils.data import DataLoader
model = torch.nn.Linear(1, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
waiting = queue.Queue(maxsize=2)
def fetch():
    for batch in DataLoader(torch.arange(8.0).view(8, 1)): waiting.put(batch)
    waiting.put(None)
fetching = threading.Thread(target=fetch); fetching.start()
while (batch := waiting.get()) is not None:
    model(batch).sum().backward()
    optimizer.step()
fetching.join()
for batch in DataLoader(torch.arange(2.0).view(2, 1)):
    optimizer.step()
"""
)


def test_batches_fetched_beside_the_updates_are_said_not_to_be_in_the_record(agent, tmp_path):
    run(FETCHED, environment(tmp_path / "s"))
    agent.drain(1)
    frames = agent.frames(0)
    assert [len(update.batches) for update in kinds(frames, "Update")] == [0] * 8 + [1, 1]
    (one,) = kinds(frames, "Uncovered")
    assert one.what == "batches that were fetched in another thread than that of the updates"
