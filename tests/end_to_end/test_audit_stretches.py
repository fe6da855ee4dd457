"""`saksi audit` of a part of a run: from the model checkpoints that it saved, by the script's own way to resume."""

from __future__ import annotations

import json

import pytest

from confining import not_allowed
from end_to_end.test_audit import Project
from torch_loaded import LOADED

pytestmark = [pytest.mark.training, pytest.mark.timeout(600)]

SCRIPT = (
    LOADED
    + """
import sys, torch
torch.set_num_threads(1)
torch.manual_seed(0)
inputs = torch.randn(256, 8)
labels = (inputs[:, 0] > 0).long()
model = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.ReLU(), torch.nn.Dropout(0.1), torch.nn.Linear(16, 2))
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
begin = 0
if "--resume" in sys.argv or "--resume-badly" in sys.argv:
    kept = torch.load(sys.argv[-1])
    model.load_state_dict(kept["model"])
    optimizer.load_state_dict(kept["optimizer"])
    begin = kept["step"]
    if "--resume" in sys.argv:
        torch.set_rng_state(kept["random"])
for step in range(begin, 40):
    chosen = torch.randint(256, (16,))
    optimizer.zero_grad()
    torch.nn.functional.cross_entropy(model(inputs[chosen]), labels[chosen]).backward()
    optimizer.step()
    if step % 10 == 9:
        state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "step": step + 1}
        torch.save({**state, "random": torch.get_rng_state()}, f"ckpt-{step + 1}.pt")
"""
)
FOREIGN = """
import torch
plain = torch.save
def quietly(state, path, *args, **more):
    if "ckpt-20" in str(path):
        state["model"]["0.weight"][3, 3] += 0.01
    return plain(state, path, *args, **more)
torch.save = quietly
"""
"""The weights themselves are edited just before they are saved: what is saved, and what goes on, has the edit."""
RESUME = ("--resume-with", "--resume {ckpt}")


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    found = Project(tmp_path_factory.mktemp("stretches"), SCRIPT, FOREIGN)
    found.call("run", "--name", "honest", "--seal", str(found.seal), "--", *found.command())
    return found


@pytest.fixture(scope="module")
def sampled(project):
    words = ("--sample", "1", "--beacon", "a public value", *RESUME, "--json")
    done = project.home.run("audit", "honest", *words, cwd=project.folder, timeout=400)
    if "namespaces" in done.stdout:
        not_allowed(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


def test_both_ends_and_one_stretch_that_was_drawn_are_a_match_of_thirty_steps(sampled):
    assert (sampled["verdict"], sampled["reasons"], sampled["replays"]) == ("match", [], 3)
    assert (sampled["steps"]["match"], sampled["steps"]["not_checkable"]) == (30, 10)
    found = sampled["sampled"]
    assert (found["total"], found["draw"]["beacon"]) == (4, "a public value")
    assert [each["means"] for each in found["stretches"]] == ["start", "resume", "resume"]
    assert sampled["coverage"]["detects"]["one_segment"] == pytest.approx(0.5)


def test_a_model_checkpoint_that_changed_since_is_resumed_from_by_nobody(project, sampled):
    kept = (project.folder / "ckpt-10.pt").read_bytes()
    (project.folder / "ckpt-10.pt").write_bytes(kept + b"x")
    try:
        found = project.audit("honest", "--steps", "12:15", *RESUME, code=0)
    finally:
        (project.folder / "ckpt-10.pt").write_bytes(kept)
    (first, second) = found["sampled"]["stretches"]
    assert (found["verdict"], found["replays"], first["means"], second["means"]) == ("match", 1, "start", "start")
    assert second["reason"] == f"{project.folder}/ckpt-10.pt has changed since the run saved it"


def test_a_script_that_forgets_its_generator_is_not_held_against_the_run(project, sampled):
    found = project.audit("honest", "--steps", "10:19", "--resume-with", "--resume-badly {ckpt}", code=0)
    assert found["verdict"] == "match"
    second = found["sampled"]["stretches"][1]
    assert (second["means"], second["equal"]) == ("start", True)
    assert second["reason"].startswith("resumed there it is another: step 10 of rank 0: ")


def test_an_edit_just_at_a_model_checkpoint_is_no_baseline(project, sampled):
    foreign = {"PYTHONPATH": str(project.foreign)}
    project.call("run", "--name", "bad", "--seal", str(project.seal), "--", *project.command(), environment=foreign)
    found = project.audit("bad", "--steps", "20:29", "--no-naming", *RESUME, code=1)
    assert (found["verdict"], found["first_bad_step"], found["named"][0]["stage"]) == ("mismatch", 19, "state")
    assert found["steps"]["match"] == 19
    assert [each["means"] for each in found["sampled"]["stretches"]] == ["start"] * 3


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--sample", "1", "--all"), "--all and --sample are two answers to one question"),
        (("--steps", "5"), "--steps '5' is no span of steps"),
        (("--steps", "9:5"), "--steps '9:5' is no span of steps"),
        (("--steps", "30:40"), "--steps 30:40: the run has no step 40"),
        (("--beacon", "x"), "--beacon is for a draw"),
        (("--sample", "1", "--resume-with", "--resume"), "--resume-with does not say where {ckpt} goes"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_anything_runs(project, words, said):
    done = project.home.run("audit", "honest", *words, cwd=project.folder)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
