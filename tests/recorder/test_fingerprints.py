"""Sums over memory are those of `spec/frames.md`, however the tensors lie and whoever asks for them."""

# ruff: noqa: E501  (scripts that run elsewhere are quoted as they are)

from __future__ import annotations

import pytest

from recorder.listener import PATH, environment, run

pytestmark = pytest.mark.training

SCRIPT = f"""
import sys; sys.path.insert(0, {str(PATH)!r})
import array, hashlib, torch
from saksi_recorder import fingerprints, memory, session
session.key = b"k" * 32
factors = array.array("Q", hashlib.shake_256(session.key).digest(8 * 4096))

def raw(t):
    whole = t.detach().resolve_conj().resolve_neg().contiguous()
    return bytes(array.array("B", whole.view(torch.uint8).flatten().tolist() if whole.dim() else whole.reshape(1).view(torch.uint8).tolist()))

def expected(tensors, keyed):
    found = b""
    for each in map(raw, tensors):
        words = array.array("Q", each[: len(each) // 8 * 8])
        for at in range(0, len(words), 4096):
            several = words[at : at + 4096]
            found += (sum(w * f for w, f in zip(several, factors)) if keyed else sum(several)).__mod__(2**64).to_bytes(8, "little")
        if len(each) % 8:
            found += sum(each[len(words) * 8 :]).to_bytes(8, "little")
    return hashlib.sha256(found).hexdigest()[:32] if tensors else None

plain = [torch.randn(n) for n in (2 * 4096 * 3 + 5, 8192, 7, 1, 0)] + [torch.randint(0, 255, (13,), dtype=torch.uint8), torch.tensor(5)]
odd = [torch.randn(40, 50).t(), torch.randn(2, 3, 8, 8).to(memory_format=torch.channels_last), torch.randn(5, dtype=torch.complex64).conj()]
lists = [
    [(plain, False), (plain[::2], True), (plain[1:2] * 2, False), ([], True)],
    [(plain + odd, False), (odd, True)],
    [(odd, False)],
]
several = [[(ts, keyed, expected(ts, keyed)) for ts, keyed in one] for one in lists]

def same():
    with memory.quiet():
        for one in several:
            for _ in range(2):
                assert fingerprints.sums_of_each([(ts, keyed) for ts, keyed, _ in one]) == [digest for _, _, digest in one]
            for ts, keyed, digest in one:
                assert fingerprints.sums(ts, keyed=keyed) == digest
                joined = b"".join(fingerprints.sums_of(t, keyed=keyed) for t in ts)
                assert not ts or hashlib.sha256(joined).hexdigest()[:32] == digest

same()
with torch.inference_mode():
    same()
torch.set_default_dtype(torch.float64)
same()
def within(x):
    same()
    return x * 2
torch.func.functionalize(within)(torch.randn(3))
torch.func.vmap(within)(torch.randn(3, 2))
fingerprints.MAX_PLANNED = fingerprints.MAX_KNOWN = 3
fingerprints._plans.clear(); fingerprints._known.clear()
same()
assert sum(len(plan.acts) for plan in fingerprints._plans.values()) <= 3 or len(fingerprints._plans) == 1
print("same")
"""


def test_sums_are_those_of_the_specification_in_every_surrounding(tmp_path):
    done = run(SCRIPT, environment(None, PYTHONPATH=""), cwd=tmp_path)
    assert (done.stdout, done.stderr) == ("same\n", "")
