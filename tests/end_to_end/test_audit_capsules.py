"""`saksi audit` of a part of a run whose script saves nothing and cannot resume: from what its recorder wrote."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from confining import not_allowed
from end_to_end.test_audit import Project
from torch_loaded import LOADED, SETTLED

pytestmark = [pytest.mark.training, pytest.mark.timeout(600)]

SCRIPT = (
    LOADED
    + """
import os, sys, torch
torch.set_num_threads(1)
torch.manual_seed(0)
inputs = torch.randn(192, 8)
data = torch.utils.data.TensorDataset(inputs, (inputs[:, 0] > 0).long())
layers = torch.nn.Linear(8, 16), torch.nn.BatchNorm1d(16), torch.nn.ReLU(), torch.nn.Dropout(0.1)
model = torch.nn.Sequential(*layers, torch.nn.Linear(16, 2))
sampler = None
if "RANK" in os.environ:
    torch.distributed.init_process_group("gloo")
    model = torch.nn.Sequential(*(torch.nn.Linear(8, 8) for _ in range(8)), model)
    model = torch.nn.parallel.DistributedDataParallel(model, bucket_cap_mb=0.0005)
    sampler = torch.utils.data.DistributedSampler(data)
loader = torch.utils.data.DataLoader(data, batch_size=4 if sampler else 16, sampler=sampler, shuffle=sampler is None)
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 40)
step = 0
def drawn():
    chosen = torch.randint(192, (16,))
    return inputs[chosen], data.tensors[1][chosen]
if "--ahead" in sys.argv:  # the next batch is drawn while a device would still compute
    features, labels = drawn()
    for step in range(48):
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(model(features), labels)
        features, labels = drawn()
        loss.backward()
        optimizer.step()
        schedule.step()
    sys.exit()
for epoch in range(2 if sampler else 4):
    for features, labels in loader:
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(model(features), labels)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        step += 1
        if step == 15 and "--closure" in sys.argv:
            optimizer.step(lambda: loss)
        else:
            optimizer.step()
        schedule.step()
if sampler:
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()
"""
    + SETTLED
)
FOREIGN = """
import torch
count = [0]
plain = torch.optim.lr_scheduler.CosineAnnealingLR.step
def step(self, *args):
    plain(self, *args)
    count[0] += 1
    if count[0] == 31:  # the first is its constructor's: behind the root of Step 29, and before Step 30
        with torch.no_grad():
            self.optimizer.param_groups[0]["params"][0][3, 3] += 1e-6
torch.optim.lr_scheduler.CosineAnnealingLR.step = step
"""
CAPSULES = ("--capsules", "every=10")


def capsules_of(project):
    """The files by Step, of the run that was made last."""
    folder = max(
        Path(project.home.environment["SAKSI_HOME"], "capsules").iterdir(), key=lambda each: each.stat().st_mtime_ns
    )
    return {int(path.name.split("-")[1]): path for path in folder.rglob("*.safetensors")}


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    found = Project(tmp_path_factory.mktemp("capsules"), SCRIPT, FOREIGN)
    found.call("run", "--name", "honest", *CAPSULES, "--seal", str(found.seal), "--", *found.command())
    return found


@pytest.fixture(scope="module")
def capsules(project):
    return capsules_of(project)


@pytest.fixture(scope="module")
def everything(project, capsules):
    done = project.home.run("audit", "honest", "--sample", "9", "--json", cwd=project.folder, timeout=400)
    if "namespaces" in done.stdout:
        not_allowed(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


def stretches(found):
    return [(each["first_step"], each["means"], each["equal"]) for each in found["sampled"]["stretches"]]


def test_every_stretch_matches_whether_it_begins_with_an_epoch_or_within_one(everything):
    assert (everything["verdict"], everything["reasons"], everything["replays"]) == ("match", [], 5)
    assert stretches(everything) == [(0, "start", True), *((first, "capsule", True) for first in (10, 20, 30, 40))]
    assert everything["steps"]["match"] == 48


def test_ranks_whose_gradients_are_summed_in_buckets_begin_with_a_capsule_each(project, everything):
    command = project.command()
    launch = (command[0], "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=4", *command[1:])
    seal = project.seal.with_name("ranks.seal")
    project.approve(seal, *launch)
    project.call("run", "--name", "ranks", *CAPSULES, "--seal", str(seal), "--", *launch)
    found = project.audit("ranks", "--steps", "13:14", code=0)
    assert stretches(found) == [(0, "start", True), (10, "capsule", True)]
    assert found["steps"]["match"] == 80


def test_an_edit_just_behind_a_capsule_is_no_baseline(project, everything):
    foreign = {"PYTHONPATH": str(project.foreign)}
    words = ("--name", "bad", *CAPSULES, "--seal", str(project.seal), "--", *project.command())
    project.call("run", *words, environment=foreign)
    found = project.audit("bad", "--steps", "30:39", "--no-naming", code=1)
    assert (found["verdict"], found["first_bad_step"]) == ("mismatch", 30)
    assert found["named"][0]["stage"] == "between_steps"


def test_a_capsule_that_was_changed_is_used_by_nobody(project, capsules, everything):
    content = capsules[29].read_bytes()
    capsules[29].write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    try:
        found = project.audit("honest", "--steps", "32:35", code=0)
    finally:
        capsules[29].write_bytes(content)
    assert found["verdict"] == "match"
    assert {each["means"] for each in found["sampled"]["stretches"]} == {"start"}
    last = found["sampled"]["stretches"][-1]
    assert last["reason"] == f"{capsules[29]} has changed since the run wrote it"


def test_one_that_is_gone_is_told_of_and_the_stretch_replayed_from_the_start(project, capsules, everything):
    content = capsules[29].read_bytes()
    capsules[29].unlink()
    try:
        found = project.audit("honest", "--steps", "32:35", code=0)
        shown = json.loads(project.call("show", "honest", "--json").stdout)["attempts"][0]["capsules"]
    finally:
        capsules[29].write_bytes(content)
        capsules[29].chmod(0o600)
    last = found["sampled"]["stretches"][-1]
    assert (last["first_step"], last["means"]) == (30, "start")
    assert last["reason"] == f"{capsules[29]}: No such file or directory"
    assert (shown["written"], shown["kept"], shown["first_step"], shown["last_step"]) == (4, 3, 9, 39)
    assert shown["folder"] == str(capsules[9].parent)


def test_a_program_that_cannot_be_hollow_says_why_and_is_replayed_from_its_start(project, everything):
    seal = project.seal.with_name("closure.seal")
    project.approve(seal, *project.command(), "--closure")
    words = ("run", "--name", "closure", *CAPSULES, "--seal", str(seal), "--", *project.command(), "--closure")
    project.call(*words)
    found = project.audit("closure", "--steps", "32:35", code=0)
    assert {each["means"] for each in found["sampled"]["stretches"]} == {"start"}
    assert found["sampled"]["stretches"][-1]["reason"] == (
        "begun with a capsule, the program did not get to step 30: it ended with exit code 97: "
        "saksi: hollow: a closure is handed to a step"
    )


def test_where_batches_are_drawn_between_a_forward_pass_and_its_update_models_are_executed_on_the_way(
    project, everything
):
    seal = project.seal.with_name("ahead.seal")
    project.approve(seal, *project.command(), "--ahead")
    words = ("run", "--name", "ahead", *CAPSULES, "--seal", str(seal), "--", *project.command(), "--ahead")
    project.call(*words)
    found = project.audit("ahead", "--steps", "42:45", code=0)
    assert stretches(found) == [(0, "start", True), (40, "capsule", True)]
    assert found["replays"] == 3  # of one it was found that it drew otherwise
    found = project.audit("ahead", "--steps", "42:45", "--threads", "2", code=0)
    assert (found["verdict"], stretches(found)[-1][1]) == ("match", "capsule")


def test_nothing_of_a_capsule_is_left_behind_an_audit(project, everything):
    left = [path for path in Path(project.home.folder).rglob("*.safetensors") if "capsules" not in path.parts]
    assert left == []
