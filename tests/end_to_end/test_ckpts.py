"""Real trainings that save and load under `saksi run`: of honest ones nothing weighs, and what is changed is named."""

from __future__ import annotations

import sys

import pytest

from saksi_run import Home
from torch_loaded import LOADED

pytestmark = [pytest.mark.training, pytest.mark.slow]

SCRIPT = (
    LOADED
    + """
import io, os, shutil, sys, torch
import torch.distributed as dist
torch.manual_seed(1); torch.set_num_threads(1)
way = sys.argv[1]
model = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.BatchNorm1d(16), torch.nn.Linear(16, 8))
def adam(): return torch.optim.AdamW(model.parameters(), lr=0.01)
optimizer = adam()
def whole(): return {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
def step(count=1):
    for _ in range(count):
        optimizer.zero_grad()
        model(torch.randn(4, 8)).square().mean().backward()
        optimizer.step()
def load(path, moments=True):
    kept = torch.load(path, weights_only=False)
    model.load_state_dict(kept["model"])
    if moments: optimizer.load_state_dict(kept["optimizer"])
first = not os.path.exists("last.pt")
if way == "resumed" and not first: load("last.pt")
if way == "forgotten" and not first: load("last.pt", moments=False)
if way == "older" and not first: load("step3.pt")
step(3)
"""
)
BODIES = {
    "resumed": "torch.save(whole(), 'last.pt'); step(2)",
    "forgotten": "torch.save(whole(), 'last.pt'); step(2)",
    "older": "torch.save(whole(), 'step3.pt'); step(3); torch.save(whole(), 'last.pt')",
    "best": "torch.save(whole(), 'best.pt'); step(3); torch.save(whole(), 'last.pt'); load('best.pt')",
    "best-goes-on": "torch.save(whole(), 'best.pt'); step(3); load('best.pt'); step(3)",
    "weights": "torch.save(whole(), 'best.pt'); step(3); load('best.pt', moments=False); step(3)",
    "anew": "torch.save(whole(), 'best.pt'); step(3); load('best.pt', moments=False); optimizer = adam(); step(3)",
    "renamed": """
for number in range(3):
    torch.save(whole(), "last.pt.tmp"); os.replace("last.pt.tmp", "last.pt"); step(2)
load("last.pt"); step(2)
""",
    "rotating": """
for number in range(4):
    if os.path.exists("last.pt"): os.replace("last.pt", "before.pt")
    torch.save(whole(), "last.pt"); shutil.copyfile("last.pt", "best.pt"); step(2)
load("before.pt"); step(2); load("best.pt"); step(2)
""",
    "streams": """
held = io.BytesIO(); torch.save(whole(), held)
with open("last.pt", "wb") as file: file.write(held.getvalue())
step(2)
with open("last.pt", "wb") as file: torch.save(whole(), file)
load("last.pt"); step(2)
with open("last.pt", "rb") as file: load(file)
step(2)
""",
    "distributed": """
import torch.distributed.checkpoint as dcp
dist.init_process_group("gloo", init_method="file://" + os.getcwd() + "/meeting", rank=0, world_size=1)
for number in range(2):
    dcp.save(whole(), checkpoint_id="folder"); step(2)
kept = whole(); dcp.load(kept, checkpoint_id="folder")
model.load_state_dict(kept["model"]); optimizer.load_state_dict(kept["optimizer"]); step(2)
""",
    "edited": """
torch.save(whole(), "last.pt")
at = open("last.pt", "rb").read().index(model[0].weight.detach().numpy().tobytes())
with open("last.pt", "r+b") as file: file.seek(at); file.write(bytes(4))
load("last.pt"); step(2)
""",
    "put-back": """
torch.save(whole(), "old.pt"); step(3); torch.save(whole(), "last.pt"); os.replace("old.pt", "last.pt")
load("last.pt"); step(2)
""",
    "moments": """
torch.save(whole(), "last.pt"); step(2); kept = torch.load("last.pt")
for each in kept["optimizer"]["state"].values(): each["exp_avg_sq"].zero_()
model.load_state_dict(kept["model"]); optimizer.load_state_dict(kept["optimizer"]); step(2)
""",
    "executes": """
class Opens:
    def __reduce__(self): return open, (os.devnull, "a")
torch.save(whole() | {"more": Opens()}, "last.pt"); step(); load("last.pt"); step(2)
""",
}
HONEST = ("best", "best-goes-on", "weights", "anew", "renamed", "rotating", "streams", "distributed")
NAMED = {
    "edited": ("ckpt.content_differs", 3),
    "put-back": ("ckpt.rolled_back", 6),
    "moments": ("ckpt.state_differs", 5),
    "executes": ("ckpt.executes", 4),
}


def launched(folder, way, *, times=1):
    """What was found of the checkpoints and their state, in one run of as many attempts."""
    (folder / "train.py").write_text(SCRIPT + BODIES[way])
    home = Home(folder)
    home.environment["SAKSI_RUN_KEY"] = "one"
    for _ in range(times):
        words = ("run", "--overhead-budget", "100", "--", sys.executable, str(folder / "train.py"), way)
        done = home.run(*words, cwd=folder)
        assert done.returncode == 0, done.stderr
    report = home.json("findings", "last")
    assert report["coverage"]["steps_witnessed"] > 0
    assert not [each for each in report["items"] if each["code"] == "witness.recorder_fault"]
    return [each for each in report["items"] if each["code"].startswith(("ckpt.", "state."))]


def weighing(found):
    return [each for each in found if each["severity"] != "info"]


@pytest.mark.parametrize("way", HONEST)
def test_of_an_honest_program_nothing_weighs(tmp_path, way):
    assert weighing(launched(tmp_path, way)) == []


def test_of_a_resume_nothing_is_said_at_all(tmp_path):
    found = launched(tmp_path, "resumed", times=2)
    assert [each["code"] for each in found if each["code"] != "ckpt.not_checkable"] == []


@pytest.mark.parametrize("way", NAMED)
def test_what_is_changed_is_named_at_its_step(tmp_path, way):
    (found,) = weighing(launched(tmp_path, way))
    assert (found["code"], found["first_step"], found["alleges"]) == (*NAMED[way], "unknown")
    assert found["subject"] == str(tmp_path / "last.pt")


def test_a_resume_that_forgets_the_optimizer_is_named(tmp_path):
    (found,) = weighing(launched(tmp_path, "forgotten", times=2))
    assert (found["code"], found["first_step"]) == ("ckpt.state_differs", 0)
    assert "18 are missing: exp_avg of" in found["message"]


def test_a_resume_from_an_older_file_is_told(tmp_path):
    found = [each for each in launched(tmp_path, "older", times=2) if each["code"] == "ckpt.rolled_back"]
    assert [(each["severity"], each["first_step"]) for each in found] == [("info", 0)]
