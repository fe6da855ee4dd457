"""Digests are the same with worker threads and without, for memory of every shape, and when they cannot start."""

# ruff: noqa: E501  (scripts that run elsewhere are quoted as they are)

from __future__ import annotations

import pytest

from recorder.listener import PATH, environment, run

pytestmark = pytest.mark.training

SCRIPT = f"""
import sys; sys.path.insert(0, {str(PATH)!r})
import hashlib, torch
from saksi_recorder import leaves, memory
tensors = [torch.randn(n) for n in (3_000_000, 7, 1_000_001, 0, 1)]
tensors += [torch.randn(40, 50).t(), torch.randn(2, 3, 8, 8).to(memory_format=torch.channels_last), torch.tensor(5)]
tensors += [torch.randn(5, dtype=torch.complex64).conj(), torch.randn(30, 30).to(torch.bfloat16)[3:9, 1:], torch.ones(3) > 2]
def raw(t):
    return bytes(t.resolve_conj().contiguous().flatten().view(torch.uint8).tolist()) if t.numel() < 9999 else t.numpy().tobytes()
expected = [hashlib.sha256(raw(t)).digest() for t in tensors]
def refuse(*a): raise RuntimeError("can't start new thread at interpreter shutdown")
for workers in (0, 1, 3):
    leaves._workers = lambda total: workers
    with memory.quiet():
        found, total = leaves.digests(tensors)
    assert found == expected
    assert total == sum(t.numel() * t.element_size() for t in tensors)
leaves._thread.start_new_thread = refuse
with memory.quiet():
    assert leaves.digests(tensors)[0] == expected
print("same")
"""


def test_digests_do_not_depend_on_worker_threads(tmp_path):
    done = run(SCRIPT, environment(None, PYTHONPATH=""), cwd=tmp_path)
    assert (done.stdout, done.stderr) == ("same\n", "")
