"""Attempts of one run, with real training: what a resume restores, and what it forgets, is told by name."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from saksi_run import Home

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = (ROOT / "examples/gpt/train.py").read_text()
SMALL = ["--width", "32", "--layers", "2", "--length", "32", "--batch", "8", "--steps", "24", "--warmup", "6"]
SAVED_AT = 10

FORGETS = {
    "optimizer": ('    optimizer.load_state_dict(ckpt["optimizer"])\n', ""),
    "generators": ('    torch.set_rng_state(ckpt["rng"])\n', ""),
    "data": ('    batches.load_state_dict(ckpt["batches"])\n', ""),
    "schedule": ('    return int(ckpt["step"])\n', "    return 0\n"),
}

pytestmark = [pytest.mark.training, pytest.mark.timeout(400)]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A first attempt that goes three steps beyond its model checkpoint, as one that is killed does."""
    home = Home(tmp_path_factory.mktemp("attempts"))
    (home.folder / "train.py").write_text(SCRIPT)
    train(home, "first", "--save-every", str(SAVED_AT), "--stop-at", "13", name="first")
    return home


def train(home: Home, out: str, *words: str, name: str | None = None, script: str = "train.py") -> None:
    options = ["--name", name] if name else ["--resume", "first"]
    command = [sys.executable, script, *SMALL, "--out", str(home.folder / out), *words]
    done = home.run("run", *options, "--", *command, cwd=home.folder)
    assert done.returncode == 0, done.stderr


def ckpt(home: Home, step: int = SAVED_AT) -> str:
    return str(home.folder / f"first/ckpt-{step:06}.pt")


def difference(home: Home, a: str, b: str) -> tuple[int, dict]:
    done = home.run("diff", a, b, "--json")
    return done.returncode, json.loads(done.stdout)


def parts(found: dict) -> dict:
    return {each["name"]: each["outcome"] for each in found["continuation"]["parts"]}


def forgetful(home: Home, what: str) -> str:
    """The example with one line of its `load` taken out, run as a run of its own."""
    old, new = FORGETS[what]
    assert SCRIPT.count(old) == 1
    (home.folder / f"forgets_{what}.py").write_text(SCRIPT.replace(old, new))
    train(home, what, "--resume", ckpt(home), name=what, script=f"forgets_{what}.py")
    return what


def test_a_resume_that_restores_everything_continues(trained):
    train(trained, "second", "--save-every", "100", "--resume", ckpt(trained))
    code, found = difference(trained, "first@0", "first@1")
    assert code == 0, found["sentence"]
    assert found["continuation"]["continues"] is True
    assert found["continuation"]["step"] == SAVED_AT - 1
    assert set(parts(found).values()) == {"same"}
    assert set(parts(found)) == {
        "parameters",
        "optimizer_state",
        "update_counters",
        "generators",
        "hyper_parameters",
        "data_order",
        "repeated_steps",
    }
    assert found["compared"] == 3
    first, second = trained.json("show", "first")["attempts"]
    assert (first["last_step"], first["saved"]) == (12, 2)
    assert (second["steps_before"], second["last_step"]) == (SAVED_AT, 13)
    (load,) = second["loaded"]
    assert (load["origin"], load["origin_attempt"], load["origin_step"]) == ("saved", 0, SAVED_AT - 1)


def test_a_resume_that_forgets_the_optimizer_is_told_so(trained):
    code, found = difference(trained, "first@0", forgetful(trained, "optimizer"))
    assert code == 1
    assert "the optimizer's moments were not restored: 48 of 48 tensors are missing" in found["sentence"]
    outcomes = parts(found)
    assert (outcomes["parameters"], outcomes["update_counters"]) == ("same", "differs")
    assert (outcomes["generators"], outcomes["data_order"]) == ("same", "same")


def test_a_resume_that_forgets_the_generators_is_told_so(trained):
    code, found = difference(trained, "first@0", forgetful(trained, "generators"))
    assert code == 1
    assert "generator states were not restored: torch" in found["sentence"]
    assert parts(found)["optimizer_state"] == "same"


def test_a_resume_that_forgets_where_it_was_in_the_data_is_told_so(trained):
    code, found = difference(trained, "first@0", forgetful(trained, "data"))
    assert code == 1
    (order,) = [each for each in found["continuation"]["parts"] if each["name"] == "data_order"]
    assert order["sentence"] == "the data order starts again at the first batch"


def test_a_resume_whose_schedule_starts_again_is_told_so(trained):
    code, found = difference(trained, "first@0", forgetful(trained, "schedule"))
    assert code == 1
    assert "the learning rate (groups[0].lr) starts again at" in found["sentence"]


def test_runs_that_share_no_model_checkpoint_are_compared_step_by_step(trained):
    train(trained, "other", "--stop-at", "5", name="other")
    code, found = difference(trained, "first@0", "other")
    assert (code, found["continuation"], found["first"]) == (1, None, None)
    assert (found["compared"], found["lengths"][0]["b"]) == (5, 5)
