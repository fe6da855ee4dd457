"""Averages of the weights: a replay binds them, a stretch begins with those that were saved, and exports are known."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from end_to_end.test_audit import Project
from torch_loaded import LOADED

pytestmark = [pytest.mark.training, pytest.mark.timeout(600)]

SCRIPT = (
    LOADED
    + """
import sys, torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
torch.set_num_threads(1)
torch.manual_seed(0)
inputs = torch.randn(256, 8)
labels = (inputs[:, 0] > 0).long()
model = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.ReLU(), torch.nn.Linear(16, 2))
average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.9))
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
begin = 0
if "--resume" in sys.argv:
    kept = torch.load(sys.argv[-1])
    for name, one in (("model", model), ("average", average), ("optimizer", optimizer)):
        one.load_state_dict(kept[name])
    torch.set_rng_state(kept["random"])
    begin = kept["step"]
for step in range(begin, 30):
    chosen = torch.randint(256, (16,))
    optimizer.zero_grad()
    torch.nn.functional.cross_entropy(model(inputs[chosen]), labels[chosen]).backward()
    optimizer.step()
    average.update_parameters(model)
    if step % 10 == 9:
        parts = {"model": model, "average": average, "optimizer": optimizer}
        state = {name: one.state_dict() for name, one in parts.items()}
        torch.save({**state, "step": step + 1, "random": torch.get_rng_state()}, f"ckpt-{step + 1}.pt")
"""
)
FOREIGN = """
from torch.optim import swa_utils
plain, calls = swa_utils.AveragedModel.update_parameters, 0
def quietly(self, model):
    global calls
    calls += 1
    plain(self, model)
    if calls == 15:
        self.module[0].weight.data[3, 3] += 0.01
swa_utils.AveragedModel.update_parameters = quietly
"""
EXPORT = """
import torch
from safetensors.torch import save_file
average = torch.load("ckpt-20.pt")["average"]
save_file({name[7:]: one for name, one in average.items() if name.startswith("module.")}, "average.safetensors")
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    found = Project(tmp_path_factory.mktemp("averages"), SCRIPT, FOREIGN)
    found.call("run", "--name", "honest", "--seal", str(found.seal), "--", *found.command())
    return found


def run_beside(project, name, foreign):
    """Another run of the same command, after which the files of the honest one lie there again."""
    saved = {each: each.read_bytes() for each in project.folder.glob("ckpt-*.pt")}
    assert len(saved) == 3
    words = ("run", "--name", name, "--seal", str(project.seal), "--", *project.command())
    project.call(*words, environment={"PYTHONPATH": str(foreign)})
    for path, content in saved.items():
        path.write_bytes(content)


def test_a_stretch_begins_with_the_average_that_was_saved(project):
    found = project.audit("honest", "--steps", "10:29", "--resume-with", "--resume {ckpt}", code=0)
    assert (found["verdict"], found["reasons"]) == ("match", [])
    assert [each["means"] for each in found["sampled"]["stretches"]] == ["resume", "resume"]


def test_an_average_that_a_run_held_is_known_in_another_file(project):
    subprocess.run([sys.executable, "-c", EXPORT], cwd=project.folder, check=True, timeout=100)
    line = json.loads(project.call("verify", "average.safetensors", "--json").stdout)["targets"][0]
    assert (line["verdict"], line["weights"]["step"], line["weights"]["beside"]) == ("accepted", 19, True)
    assert "those of an average, or another model that no optimizer updates, of run" in line["sentence"]


def test_one_element_of_an_average_that_was_edited_is_a_mismatch_and_the_tensor_named(project):
    run_beside(project, "bad", project.foreign)
    found = project.audit("bad", "--no-naming", code=1)
    (named,) = found["named"]
    assert (found["verdict"], found["first_bad_step"], named["stage"]) == ("mismatch", 19, "state")
    assert named["tensor"] == "module.0.weight (beside/1/module.0.weight)"


def test_another_model_that_is_held_is_a_mismatch_of_its_own(project, tmp_path):
    (tmp_path / "sitecustomize.py").write_text("import torch\nhidden = torch.nn.BatchNorm1d(2)\n")
    run_beside(project, "hid", tmp_path)
    found = project.audit("hid", "--no-naming", code=1)
    assert (found["verdict"], found["first_bad_step"], found["named"][0]["stage"]) == ("mismatch", 0, "program")
