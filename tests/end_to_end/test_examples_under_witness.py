"""The examples with and without saksi: the same bits, every step witnessed, under both environments."""

from __future__ import annotations

import hashlib
import itertools
import sys
from pathlib import Path

import pytest

from saksi_run import Home
from warm import Warm

ROOT = Path(__file__).resolve().parents[2]
OWN = sys.executable
APART = str(ROOT / ".venv-train/bin/python")
"""An interpreter whose environment has torch and no saksi."""
PYTHONS = pytest.mark.parametrize("python", [OWN, APART], ids=["same-venv", "venv-without-saksi"])
GPT = ["examples/gpt/train.py", "--steps", "60"]
DIGITS_STEPS = 30
OPTIMIZERS, KERNELS = ("sgd", "adam", "adamw"), ("single", "foreach", "fused")
# Both environments have the same pinned wheel of torch, whose arithmetic the first has run in full: of the other, which
# differs in where saksi comes from, every optimizer and every kernel runs once.
DIGITS = [
    *(pytest.param(OWN, *pair, id="-".join(("same-venv", *pair))) for pair in itertools.product(OPTIMIZERS, KERNELS)),
    *(
        pytest.param(APART, *pair, id="-".join(("venv-without-saksi", *pair)))
        for pair in zip(OPTIMIZERS, KERNELS, strict=True)
    ),
]

pytestmark = [pytest.mark.training, pytest.mark.timeout(300)]


def weights_of(folder):
    return hashlib.sha256((folder / "final.pt").read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def warm():
    """Each of the two interpreters with what the examples import, so that a plain run takes a second."""
    made = {python: Warm(python, ("torch._dynamo", "sklearn.datasets")) for python in (OWN, APART)}
    yield made
    for each in made.values():
        each.end()


def plain_weights(warm, folder, *words):
    script, *options = words
    folder.mkdir()
    assert warm.run([str(ROOT / script), *options, "--out", str(folder)], folder / "said") == 0
    return weights_of(folder)


def witnessed(home, python, level, *words):
    done = home.run(
        "run", "--level", level, "--", python, *words, "--out", str(home.folder / "out"), cwd=ROOT, timeout=280
    )
    assert done.returncode == 0, done.stderr
    return weights_of(home.folder / "out")


def assert_every_step_witnessed(home, steps, level):
    report = home.json("findings", "last")
    assert report["items"] == []
    assert report["verdict"] == "unknown"  # nothing found, and the seal is not approved
    assert report["coverage"] == {
        "complete": True,
        "steps_expected": steps,
        "steps_witnessed": steps,
        "ranks": 1,
        "dropped_records": 0,
        "not_checkable": [],
    }
    verified = home.run("verify", "last")
    assert verified.returncode == 0, verified.stdout + verified.stderr


@PYTHONS
def test_gpt_for_60_steps_ends_in_the_same_bits_at_both_levels(tmp_path, python, warm):
    plain = plain_weights(warm[python], tmp_path / "plain", *GPT)
    for level in ("standard", "full"):
        home = Home(tmp_path / level)
        assert witnessed(home, python, level, *GPT) == plain
        assert_every_step_witnessed(home, 60, level)


@pytest.mark.parametrize(("python", "optimizer", "kernel"), DIGITS)
def test_digits_ends_in_the_same_bits_at_both_levels(tmp_path, python, optimizer, kernel, warm):
    words = ["examples/digits/train.py", "--optimizer", optimizer, "--kernel", kernel, "--steps", str(DIGITS_STEPS)]
    plain = plain_weights(warm[python], tmp_path / "plain", *words)
    for level in ("standard", "full"):
        home = Home(tmp_path / level)
        assert witnessed(home, python, level, *words) == plain
        assert_every_step_witnessed(home, DIGITS_STEPS, level)
