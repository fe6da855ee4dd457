"""Of more batches between two updates than a frame holds, the first and the latest are said: the last was used."""

from __future__ import annotations

import json

import pytest

from recorder.listener import Listener, environment, kinds, run
from torch_loaded import LOADED

pytestmark = pytest.mark.training

SCRIPT = (
    LOADED
    + r"""
import json, torch
from torch.utils.data import DataLoader
torch.manual_seed(4)
model = torch.nn.Linear(1, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
last = []
for count in (100, 64, 1):
    for batch in DataLoader(torch.arange(100.0)[:count, None], 1, shuffle=True):
        pass
    last.append(batch.item())
    optimizer.step()
print(json.dumps(last))
"""
)


@pytest.fixture(scope="module")
def said(tmp_path_factory):
    folder = tmp_path_factory.mktemp("batches")
    with Listener(folder / "s") as agent:
        last = json.loads(run(SCRIPT, environment(folder / "s")).stdout)
        agent.drain()
        frames = agent.frames()
    assert not kinds(frames, "Fault"), kinds(frames, "Fault")
    return kinds(frames, "Update"), last


def test_the_first_and_the_latest_are_kept_and_the_others_counted(said):
    (many, fitting, one), _ = said
    assert [each.ordinal for each in many.batches] == [*range(32), *range(68, 100)]
    assert (many.batches_omitted, many.batches_behind) == (36, 32)
    assert [each.ordinal for each in many.latest] == list(range(68, 100))
    assert [(len(each.batches), each.batches_omitted, each.batches_behind) for each in (fitting, one)] == [
        (64, 0, 0),
        (1, 0, 0),
    ]
    assert fitting.latest == fitting.batches


def test_the_last_of_them_is_the_one_that_the_update_used(said):
    updates, last = said
    assert [each.latest[-1].ids for each in updates] == [[int(number)] for number in last]
    assert all(each.digest is not None for update in updates for each in update.batches)
