"""Digests of single samples: of the same ids in each epoch, over what a batch holds of each."""

from __future__ import annotations

import hashlib
import random

import pytest

from recorder.listener import environment, kinds, run
from torch_loaded import LOADED

pytestmark = pytest.mark.training

MOST = 8
LOOP = (
    LOADED
    + """
import torch
from torch.utils.data import DataLoader, TensorDataset
x, y = torch.randn(64, 3), torch.arange(64)
model = torch.nn.Linear(3, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for epoch in range(3):
    for inputs, labels in DataLoader({data}, batch_size=16, shuffle=True{more}):
        {inside}
        model(inputs.reshape(len(inputs), -1)[:, :3]).sum().backward()
        optimizer.step()
    if epoch == 1:
        y[:8] += 100
"""
)


def drawn_by(key):
    """The ids below 64 that a process with this key looks at in batches of 16, as `spec/frames.md` has it."""
    stream = hashlib.sha256(bytes.fromhex(key) + b"saksi.rows/v1").digest()
    factor, offset = int.from_bytes(stream[:8], "little") | 1, int.from_bytes(stream[8:16], "little")
    return {sample for sample in range(64) if mixed((factor * sample + offset) % 2**64) < 4 * 2**64 // 16}


def mixed(z):
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 % 2**64
    z = (z ^ z >> 27) * 0x94D049BB133111EB % 2**64
    return z ^ z >> 31


def rows_of(agent, tmp_path, *, data="TensorDataset(x, y)", more="", inside=""):
    """The ids that are looked at, and of each epoch the digest of each sample that has one, with its form."""
    run(LOOP.format(data=data, more=more, inside=inside), environment(tmp_path / "s"))
    agent.drain(1)
    epochs = [{}, {}, {}]
    crowded = set()
    frames = agent.frames(0)
    for update in kinds(frames, "Update"):
        for batch in update.batches:
            assert {each[0] for each in batch.rows} <= set(batch.ids)
            epochs[update.update // 4] |= {sample: (batch.form, digest) for sample, digest in batch.rows}
            if len(batch.rows) == MOST:
                crowded |= set(batch.ids) - {sample for sample, _ in batch.rows}
    assert len(crowded) < 64
    # The order of an epoch can bring more of those that are drawn into one batch than are looked at there.
    drawn = drawn_by(kinds(frames, "Hello")[0].fingerprint_key) - crowded
    return drawn, *({sample: found for sample, found in epoch.items() if sample in drawn} for epoch in epochs)


def test_the_same_samples_have_the_same_digest_until_their_values_change(agent, tmp_path):
    drawn, first, second, third = rows_of(agent, tmp_path)
    assert first == second
    assert first.keys() == third.keys() == drawn
    assert {each for each in first if first[each] != third[each]} == {each for each in first if each < 8}
    assert len({form for form, _ in first.values()}) == bool(drawn)


def test_workers_hand_out_the_same(agent, tmp_path):
    drawn, first, second, _ = rows_of(agent, tmp_path, more=", num_workers=1")
    assert first == second
    assert first.keys() == drawn


@pytest.mark.parametrize(
    "data",
    [
        "TensorDataset(x.repeat(1, 90_000), y)",  # a sample of more than a megabyte
        "[(x[at], y[at]) for at in range(64)]",
    ],
    ids=["large", "list"],
)
def test_what_is_too_large_has_none_and_what_is_put_together_has(agent, tmp_path, data):
    drawn, first, _, _ = rows_of(agent, tmp_path, data=data)
    assert first.keys() == (drawn if data.startswith("[") else set())


def test_a_batch_that_is_not_as_its_ids_has_none(agent, tmp_path):
    flat = ", collate_fn=lambda found: (torch.stack([x for x, _ in found]).reshape(-1), torch.tensor(0))"
    _, first, _, _ = rows_of(agent, tmp_path, more=flat, inside="inputs = inputs.reshape(-1, 3)")
    assert first == {}


MANY_KEYS = """
import os, random
from saksi_recorder import rows, session
draw = random.Random(int(os.environ["SEED"]))
counts = []
for _ in range(3000):
    session.key = draw.randbytes(32)
    counts.append(sum(len(rows._drawn(list(range(at, at + 8)))) for at in range(0, 80, 8)))
print(min(counts), max(counts), sum(counts) / len(counts))
"""


def test_whatever_the_key_about_as_many_are_drawn_as_should_be(tmp_path):
    seed = random.randrange(1 << 32)
    done = run("import torch\n" + MANY_KEYS, environment(tmp_path / "nobody", SEED=str(seed)))
    least, most, mean = map(float, done.stdout.split())
    assert 10 < least < most < 70, seed  # of 80, each with one half: seven standard deviations
    assert 39 < mean < 41, seed
