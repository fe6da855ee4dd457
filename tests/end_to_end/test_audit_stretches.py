"""`saksi audit` of a part of a run: from the model checkpoints that it saved, by the script's own way to resume."""

from __future__ import annotations

import json
import os
import signal
import tempfile
import time

import pytest

from confining import not_allowed
from end_to_end.test_audit import Project
from saksi.edges.host.procfs import children_of, descendants_of, read_process
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
def saved(project):
    return {path: path.read_bytes() for path in project.folder.glob("ckpt-*.pt")}


@pytest.fixture(autouse=True)
def _what_the_honest_run_saved(saved):
    """Another run of the same script saves over it."""
    yield
    for path, content in saved.items():
        path.write_bytes(content)


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


THREE = ("--steps", "10:39", *RESUME)
"""All stretches that begin at a model checkpoint."""


@pytest.fixture(scope="module")
def alone(project, sampled):
    """What an audit says that replays one stretch after the other."""
    return project.call("audit", "honest", *THREE, "--json").stdout


class Begun:
    """An audit that goes on, and the workers it has at the moment."""

    def __init__(self, project, *words):
        self.places = tempfile.mkdtemp(dir="/tmp")  # short, as sockets lie below it
        environment = project.home.environment | {"TMPDIR": self.places}
        words = ("audit", "honest", *words, "--json")
        options = {"cwd": project.folder, "env": environment, "stdout": -1, "stderr": -1, "text": True}
        self.process = project.home.popen(*words, **options)

    def workers(self):
        """Of replays whose launch has begun, by the time that they began."""
        found = [read_process(pid) for pid in children_of(self.process.pid)]
        known = [
            each for each in found if each and each.state != "Z" and "saksi.processes.auditor.worker" in each.command
        ]
        begun = [each for each in known if len(descendants_of(each.pid)) >= 3]
        return [each.pid for each in sorted(begun, key=lambda one: one.started_ticks)]

    def kill(self, times):
        while times and self.process.poll() is None:
            for pid in self.workers()[:1]:
                os.kill(pid, signal.SIGKILL)
                times -= 1
            time.sleep(0.05)

    def end(self):
        """Its exit code and what it said, once it has ended and left no folder."""
        said, self.errors = self.process.communicate(timeout=400)
        assert os.listdir(self.places) == [], self.errors
        os.rmdir(self.places)
        return self.process.returncode, said

    def below(self):
        return [pid for pid in descendants_of(self.process.pid) if (found := read_process(pid)) and found.state != "Z"]


def test_stretches_side_by_side_say_what_they_say_one_after_the_other_and_see_nothing_of_what_lies_there_now(
    project, alone
):
    found = json.loads(alone)
    assert (found["verdict"], found["replays"], found["steps"]["match"]) == ("match", 3, 30)
    assert [each["means"] for each in found["sampled"]["stretches"]] == ["resume"] * 3
    try:
        (project.folder / "train.py").write_text(SCRIPT.replace("1e-3", "1e-2"))
        assert project.call("audit", "honest", *THREE, "--jobs", "3", "--json").stdout == alone
    finally:
        (project.folder / "train.py").write_text(SCRIPT)


def test_a_worker_that_is_killed_changes_nothing_of_what_is_said(project, alone):
    begun = Begun(project, *THREE, "--jobs", "2")
    begun.kill(1)
    assert begun.end() == (0, alone)


def test_a_stretch_whose_workers_are_killed_twice_is_replayed_from_the_start(project, sampled):
    begun = Begun(project, "--steps", "10:19", *RESUME)
    begun.kill(2)
    code, said = begun.end()
    found = json.loads(said)
    assert (code, found["verdict"], found["reasons"]) == (0, "match", [])
    first, line = found["sampled"]["stretches"]
    assert (first["means"], line["means"], line["equal"]) == ("start", "start", True)
    assert line["reason"] == "tried 2 times and not replayed: its worker was ended by SIGKILL"


def test_files_that_others_may_write_are_made_by_no_worker(project, sampled):
    before = os.umask(0)
    try:
        found = project.audit("honest", "--steps", "10:19", *RESUME, code=0)
    finally:
        os.umask(before)
    assert [each["means"] for each in found["sampled"]["stretches"]] == ["resume"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_audit_that_is_ended_leaves_no_worker_no_replay_and_no_folder(project, sampled, number):
    begun = Begun(project, *THREE, "--jobs", "2")
    until = time.monotonic() + 120
    below = []
    while (len(begun.workers()) < 2 or len(below) <= 6) and time.monotonic() < until:
        time.sleep(0.05)
        below = begun.below()  # one that launches another may be gone by the time that they are counted
    begun.process.send_signal(number)
    assert len(below) > 6
    assert begun.end()[0] in {128 + number, -number}
    left = [found for pid in below if (found := read_process(pid)) is not None and found.state != "Z"]
    assert left == []


def cut_short(project, *words):
    """The folder of an audit that is ended by Ctrl-C once one stretch is done."""
    begun = Begun(project, *words)
    until = time.monotonic() + 200
    audits = project.home.folder / "home" / "audits"
    while not (kept := list(audits.glob("*/results/*/kept.json"))) and time.monotonic() < until:
        time.sleep(0.05)
    begun.process.send_signal(signal.SIGINT)
    assert begun.end()[0] in {130, -2}
    assert "1 stretch is replayed and kept: the same command goes on from there" in begun.errors
    return kept[0].parents[2]


def test_an_audit_that_was_ended_goes_on_with_what_it_had_and_says_the_same(project, alone):
    folder = cut_short(project, *THREE)
    begun, workers = Begun(project, *THREE, "--limit", "99"), set()
    while begun.process.poll() is None:
        workers |= set(begun.workers())
        time.sleep(0.05)
    assert begun.end() == (0, alone)
    assert len(workers) == 2
    assert not folder.exists()


def test_who_ends_an_audit_gets_the_same_draw_again(project, sampled):
    folder = cut_short(project, "--sample", "1", *RESUME)
    secret = json.loads((folder / "audit.json").read_text())["draw"]["secret"]
    again = project.audit("honest", "--sample", "1", *RESUME, code=0)
    assert again["sampled"]["draw"]["secret"] == secret


def test_a_stretch_whose_replay_takes_too_much_memory_is_replayed_from_the_start(project, sampled):
    found = project.audit("honest", "--steps", "10:19", *RESUME, "--memory", "0.1", code=3)
    why = "the replay did not come to its end: it was ended as it took more than 0.1 GiB of memory: see --memory"
    assert (found["reasons"], found["verdict"]) == ([why], "not_checkable")
    assert found["environment"]["verified"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--sample", "1", "--all"), "--all and --sample are two answers to one question"),
        (("--steps", "5"), "--steps '5' is no span of steps"),
        (("--steps", "9:5"), "--steps '9:5' is no span of steps"),
        (("--steps", "30:40"), "--steps 30:40: the run has no step 40"),
        (("--beacon", "x"), "--beacon is for a draw"),
        (("--limit", "inf"), "--limit inf: no number of seconds"),
        (("--jobs", "2"), "--jobs is for stretches, and all steps are one"),
        (("--sample", "1", "--resume-with", "--resume"), "--resume-with does not say where {ckpt} goes"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_anything_runs(project, words, said):
    done = project.home.run("audit", "honest", *words, cwd=project.folder)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
