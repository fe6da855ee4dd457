"""Whose weights are in a file that no run saved as it is: exported, edited, cut, converted, or with code beside."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from saksi_run import Home
from torch_loaded import LOADED

pytestmark = [pytest.mark.training, pytest.mark.slow]

TRAIN = (
    LOADED
    + """
import torch
torch.manual_seed(0); torch.set_num_threads(1)
model = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.BatchNorm1d(16), torch.nn.ReLU(), torch.nn.Linear(16, 4))
optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
for step in range(20):
    optimizer.zero_grad(); model(torch.randn(6, 8)).square().mean().backward(); optimizer.step()
    if step in (9, 19):
        torch.save(model.state_dict(), f"step{step}.pt")
"""
)
EXPORT = """
import torch
from safetensors.torch import save_file
def kept(step): return torch.load(f"step{step}.pt")
save_file({"model." + name: one for name, one in kept(9).items()}, "early.safetensors")
save_file(kept(19), "last.safetensors")
torch.save({"model": kept(19), "epoch": 3}, "again.pt")
edited = kept(19)
edited["3.weight"][2, 3] += 1e-6
save_file(edited, "edited.safetensors")
exchanged = kept(19)
exchanged["1.running_mean"], exchanged["1.running_var"] = exchanged["1.running_var"], exchanged["1.running_mean"]
save_file(exchanged, "exchanged.safetensors")
torch.save(edited, "step9.pt")
save_file({name: one.half() for name, one in kept(19).items() if one.is_floating_point()}, "half.safetensors")
torch.save({name: one.t() if one.dim() == 2 else one for name, one in kept(19).items()}, "turned.pt")
class Called:
    def __reduce__(self): return print, ("called",)
torch.save({**kept(19), "more": Called()}, "calls.pt")
torch.save(torch.nn.Linear(9, 9), "module.pt")
"""


@pytest.fixture(scope="module")
def lines(tmp_path_factory):
    """What `saksi verify` says of each file."""
    folder = tmp_path_factory.mktemp("weights")
    for name, script in (("train.py", TRAIN), ("export.py", EXPORT)):
        (folder / name).write_text(script)
    home = Home(folder)
    assert home.run("run", "-q", "--", sys.executable, "train.py", cwd=folder).returncode == 0
    subprocess.run([sys.executable, "export.py"], cwd=folder, check=True, timeout=100)
    (folder / "cut.safetensors").write_bytes((folder / "last.safetensors").read_bytes()[:-1])
    files = sorted(each.name for each in folder.iterdir() if each.suffix in (".pt", ".safetensors"))
    done = home.run("verify", *files, "--json", cwd=folder)
    assert done.returncode == 1, done.stderr  # step9.pt is not what was saved there
    return {each["target"]: each for each in json.loads(done.stdout)["targets"]}


@pytest.mark.parametrize(("name", "step"), [("early.safetensors", 9), ("last.safetensors", 19)])
def test_weights_that_a_run_committed_to_are_accepted_in_whatever_file(lines, name, step):
    line = lines[name]
    assert (line["verdict"], line["weights"]["step"], line["weights"]["last_step"]) == ("accepted", step, 19)
    assert line["weights"]["same"] == line["weights"]["tensors"] == 9
    assert ("it went on from there" in line["sentence"]) is (step == 9)


def test_one_weight_that_was_edited_by_a_millionth_is_named(lines):
    line = lines["edited.safetensors"]
    assert (line["verdict"], line["weights"]["others"]) == ("inconclusive", ["3.weight"])
    assert line["weights"]["step"] == 19


def test_two_that_were_exchanged_are_told(lines):
    line = lines["exchanged.safetensors"]
    assert (line["verdict"], line["weights"]["same"], line["weights"]["renamed"]) == ("inconclusive", 7, 2)


def test_what_a_pickle_shows_is_told_and_not_accepted(lines):
    line = lines["again.pt"]
    assert (line["verdict"], line["weights"]["same"], line["weights"]["step"]) == ("inconclusive", 9, 19)


def test_a_file_whose_path_was_saved_with_other_content_is_refused_and_its_weights_are_told(lines):
    line = lines["step9.pt"]
    assert (line["verdict"], line["weights"]["others"], line["weights"]["step"]) == ("refused", ["3.weight"], 19)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("half.safetensors", "of no state that a record here holds"),
        ("turned.pt", "2 tensors of it are not compared"),
        ("again.pt", "it is a pickle, which can load other tensors than it shows: hand on safetensors"),
        ("calls.pt", "than it shows, and it names __builtin__.print"),
        ("module.pt", "no tensors are found in it"),
        ("cut.safetensors", "does not lie in the file as its shape says"),
    ],
)
def test_what_cannot_be_told_is_said_with_the_reason(lines, name, reason):
    assert lines[name]["verdict"] == "inconclusive"
    assert any(reason in each for each in lines[name]["reasons"]), lines[name]


def test_a_file_that_the_run_saved_itself_needs_no_such_look(lines):
    assert (lines["step19.pt"]["verdict"], lines["step19.pt"]["weights"]) == ("accepted", None)
