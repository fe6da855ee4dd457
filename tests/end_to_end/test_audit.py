"""`saksi audit` of real trainings: the proof that a run did what it should, and where one did not."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import time
from pathlib import Path

import pytest

from confining import not_allowed
from edges.environment.repositories import git, make_repository
from saksi.edges.host.procfs import descendants_of
from saksi_run import Home
from torch_loaded import LOADED, SETTLED

pytestmark = [pytest.mark.training, pytest.mark.timeout(600)]

SCRIPT = (
    LOADED
    + """
import os, sys, torch
if "pieces" not in sys.argv:
    torch.set_num_threads(1)
if "unseeded" not in sys.argv:
    torch.manual_seed(0)
inputs = torch.randn(256, 8)
data = torch.utils.data.TensorDataset(inputs, (inputs[:, 0] > 0).long())
model = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.ReLU(), torch.nn.Dropout(0.1), torch.nn.Linear(16, 2))
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
for epoch in range(2):
    for x, y in torch.utils.data.DataLoader(data, batch_size=16, shuffle=True):
        optimizer.zero_grad()
        losses = torch.nn.functional.cross_entropy(model(x), y, reduction="none")
        pieces = len(os.sched_getaffinity(0)) if "pieces" in sys.argv else 1
        (sum(each.sum() for each in losses.chunk(pieces)) / len(losses)).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
torch.save(model.state_dict(), "final.pt")
if "slow" in sys.argv:
    import time
    time.sleep(60)
"""
)
MANY_WAYS = (
    LOADED
    + """
import torch
torch.set_num_threads(1)
torch.manual_seed(0)


def noisy(items):
    x, y = torch.utils.data.default_collate(items)
    return x + 0.01 * torch.randn_like(x), y


def trained(make, **loading):
    data = torch.utils.data.TensorDataset(torch.randn(32, 8), torch.randint(0, 2, (32,)))
    model = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.ReLU(), torch.nn.Dropout(0.1), torch.nn.Linear(16, 2))
    optimizer = make(list(model.parameters()))
    loader = torch.utils.data.DataLoader(data, batch_size=4, shuffle=True, **loading)
    for number, (x, y) in enumerate(loader):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = torch.nn.functional.cross_entropy(model(x), y)
        loss.backward()
        if number % 2:
            optimizer.step()
            optimizer.zero_grad()


if __name__ == "__main__":
    of = torch.optim
    trained(lambda each: of.AdamW(each, lr=1e-3), num_workers=2, collate_fn=noisy)
    for fused in ({}, {"foreach": True}, {"foreach": False}, {"fused": True}):
        trained(lambda each: of.SGD(each, lr=1e-2, momentum=0.9, **fused))
        trained(lambda each: of.Adam(each, lr=1e-3, amsgrad=True, **fused))
    for kind in (of.Adagrad, of.RMSprop, of.NAdam, of.RAdam, of.Adadelta, of.Adamax, of.ASGD, of.Rprop, of.Adafactor):
        trained(lambda each: kind(each, lr=1e-3))
    trained(lambda each: of.Muon([one for one in each if one.ndim == 2], lr=1e-2))
"""
)
RANKS = (
    LOADED
    + """
import torch
torch.set_num_threads(1)
torch.distributed.init_process_group("gloo")
torch.manual_seed(0)
data = torch.utils.data.TensorDataset(torch.randn(64, 8), torch.randint(0, 2, (64,)))
model = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.ReLU(), torch.nn.Linear(16, 2))
model = torch.nn.parallel.DistributedDataParallel(model)
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
sampler = torch.utils.data.DistributedSampler(data, seed=1)
for x, y in torch.utils.data.DataLoader(data, batch_size=4, sampler=sampler):
    optimizer.zero_grad()
    torch.nn.functional.cross_entropy(model(x), y).backward()
    optimizer.step()
torch.distributed.destroy_process_group()
"""
    + SETTLED
)
KEYS_SOUGHT = """
import ctypes, os, sys
home, name = sys.argv[1:]
libc = ctypes.CDLL(None)
libc.umount2(os.fsencode(home), 2)
libc.unshare(0x20000)
libc.umount2(os.fsencode(home), 2)
seen = []
for root in ("/", "/proc/1/root", f"/proc/{name.rpartition('.')[2]}/root"):
    try:
        seen += os.listdir(root + home)
    except OSError:
        pass
with open("/dev/shm/" + name, "a") as file:
    file.write(" ".join(sorted(seen)) + chr(10))
"""
FOREIGN = """
from torch.optim import adam
plain, calls = adam.adam, 0
def quietly(*args, lr, **more):
    global calls
    calls += 1
    return plain(*args, lr=lr * 1.01 if calls > 20 else lr, **more)
adam.adam = quietly
"""


APART = str(Path(__file__).resolve().parents[2] / ".venv-train/bin/python")
"""An environment in which nothing is edited, as those are in which people train."""

KINDS = ("program", "hyper_parameters", "data", "randomness", "code")


ROUNDED = (
    LOADED
    + """
import sys, torch
if torch.get_num_threads() < 2 and "--resume" not in sys.argv:
    torch.set_num_threads(2)
torch.manual_seed(0)
model = torch.nn.Sequential(
    torch.nn.Embedding(64, 128), torch.nn.Linear(128, 256), torch.nn.GELU(), torch.nn.LayerNorm(256),
    torch.nn.Dropout(0.1), torch.nn.Linear(256, 64),
)
tokens = torch.randint(64, (4096,))
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
begin = 0
if "--resume" in sys.argv:
    kept = torch.load(sys.argv[-1])
    model.load_state_dict(kept["model"])
    optimizer.load_state_dict(kept["optimizer"])
    begin = kept["step"]
    torch.set_rng_state(kept["random"])
for step in range(begin, 8):
    chosen = torch.randint(4095, (256,))
    optimizer.zero_grad()
    torch.nn.functional.cross_entropy(model(tokens[chosen]), tokens[chosen + 1]).backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    if step % 4 == 3:
        state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "step": step + 1}
        torch.save({**state, "random": torch.get_rng_state()}, f"ckpt-{step + 1}.pt")
"""
)
"""A larger model, which adds in another order with another number of threads, and can resume."""


class Project:
    """A repository whose training is sealed with its environment, and approved."""

    def __init__(self, folder, script=SCRIPT, foreign=FOREIGN):
        self.home = Home(folder)
        self.folder = make_repository(folder / "project")
        (self.folder / "train.py").write_text(script)
        (self.folder / "many_ways.py").write_text(MANY_WAYS)
        (self.folder / "ranks.py").write_text(RANKS)
        (self.folder / "rounded.py").write_text(ROUNDED)
        (self.folder / ".gitignore").write_text("*.pt\n__pycache__\n")
        git(self.folder, "add", "-A")
        git(self.folder, "commit", "-qm", "the experiment")
        self.foreign = folder / "foreign"
        self.foreign.mkdir()
        (self.foreign / "sitecustomize.py").write_text(foreign)
        self.seal, key = folder / "run.seal", folder / "maria.key"
        python = ("--python", APART)
        self.call("keys", "create", str(key), "--name", "maria")
        self.call("keys", "trust", f"{key}.vkey", "--approver")
        self.call("env", "manifest", "-o", str(folder / "m"), "--reference", *python, "--key", str(key))
        self.approver = key
        self.approve(self.seal, *self.command())

    def approve(self, seal, *command):
        """Seal a command with its environment, and sign that."""
        manifest = ("--manifest", str(seal.with_name("m")), "--trust", f"{self.approver}.vkey")
        self.call("seal", "create", "-q", *manifest, "-o", str(seal), "--", *command)
        self.call("seal", "approve", str(seal), "--key", str(self.approver))

    def command(self, *words):
        return (APART, "train.py", *words)

    def call(self, *words, code=0, environment=None):
        done = self.home.run(*words, cwd=self.folder, env=self.home.environment | (environment or {}), timeout=400)
        assert done.returncode == code, done.stdout + done.stderr
        return done

    def audit(self, *words, code):
        return json.loads(self.call("audit", *words, "--json", code=code).stdout)


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    return Project(tmp_path_factory.mktemp("audit"))


@pytest.fixture(scope="module")
def honest(project):
    project.call("run", "--name", "honest", "--seal", str(project.seal), "--", *project.command())
    (project.folder / "final.pt").write_text("what came later")
    found = project.home.run("audit", "honest", "--json", cwd=project.folder, timeout=400)
    said = json.loads(found.stdout)
    if any("namespaces" in each for each in said["reasons"]):
        not_allowed("; ".join(said["reasons"]))
    return found.returncode, said, (project.folder / "final.pt").read_bytes()


def test_an_honest_run_under_an_approved_seal_is_a_match_in_every_step(honest):
    code, said, kept = honest
    assert (code, said["verdict"], said["reasons"]) == (0, "match", [])
    assert said["steps"] == {"total": 32, "replayed": 32, "match": 32, "mismatch": 0, "not_checkable": 0}
    assert (said["environment"]["verified"], said["environment"]["differences"]) == (True, [])
    assert said["environment"]["approved_by"][0].startswith("maria+")
    assert kept == b"what came later"  # a replay writes over nothing
    assert said["coverage"]["segments"]["replayed"] == said["coverage"]["segments"]["total"] > 0


def test_a_machine_with_fewer_processors_replays_with_as_many_threads_as_the_run_had(project, honest):
    with one_processor():
        found = project.audit("honest", code=0)
    assert (found["verdict"], found["steps"]["match"], found["distance"]) == ("match", 32, None)


@contextlib.contextmanager
def one_processor():
    everywhere = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(everywhere)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, everywhere)


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="a run on two processors, and a replay on one")
def test_where_arithmetic_may_be_another_it_is_told_how_far_apart_the_numbers_are(project, honest):
    seal = project.seal.with_name("pieces.seal")
    project.approve(seal, *project.command("pieces"))
    project.call("run", "--name", "pieces", "--seal", str(seal), "--", *project.command("pieces"))
    with one_processor():
        found = project.audit("pieces", "--threads", "1", code=3)
    assert [each for each in found["reasons"] if "processors" not in each] == []
    assert found["replays"] == 2
    distance = found["distance"]
    assert distance["updates"] == 32
    assert {each["kind"]: each["equal"] for each in distance["kinds"]} == dict.fromkeys(KINDS, 32)
    ran, replayed = distance["threads"]
    assert ran == replayed > 1  # as many as the run had, on one processor
    assert distance["loss"]["equal"] < distance["loss"]["compared"] == distance["gradient_norm"]["compared"] == 32
    assert 0 < distance["loss"]["apart"] < 1e-5
    between = distance["between_replays"]
    assert (between["updates"], between["threads"], between["loss"]["compared"]) == (32, [ran, 1], 32)


@pytest.mark.parametrize(
    ("words", "steps"),
    [
        pytest.param(("many_ways.py",), 4, id="every optimizer, autocast, accumulation, workers with a generator"),
        pytest.param(("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=4", "ranks.py"), 16, id="DDP"),
    ],
)
def test_what_torch_trains_in_other_ways_is_a_match_too(project, honest, words, steps):
    seal = project.seal.with_name("other.seal")
    seal.unlink(missing_ok=True)
    project.approve(seal, APART, *words)
    project.call("run", "--name", words[-1], "--seal", str(seal), "--", APART, *words)
    found = project.audit(words[-1], code=0)
    assert (found["verdict"], found["reasons"]) == ("match", [])
    assert found["steps"]["match"] == found["steps"]["total"] == steps


def test_an_optimizer_that_a_start_up_file_changed_is_a_mismatch_at_the_first_step_it_acted(project, honest):
    foreign = {"PYTHONPATH": str(project.foreign)}
    project.call("run", "--name", "bad", "--seal", str(project.seal), "--", *project.command(), environment=foreign)
    said = project.audit("bad", code=1)
    assert (said["verdict"], said["first_bad_step"], said["replays"]) == ("mismatch", 20, 3)
    assert said["sentence"].startswith("Not what the sealed program does: step 20 of rank 0 differs in the state")
    (named,) = said["named"]
    assert (named["stage"], named["rank"]) == ("update", 0)
    naming = named["naming"]
    assert (naming["as_found"], naming["kind"], naming["function"]) == (
        "as_recorded", "arguments", "sitecustomize.quietly",
    )  # fmt: skip
    assert named["object"] == naming["function"]
    assert named["file"] == f"{project.foreign}/sitecustomize.py:7"
    assert named["operation"] == naming["operation"]
    assert "sitecustomize.quietly" in said["sentence"]


def test_a_start_up_file_that_is_gone_by_then_is_not_named_and_neither_is_another(project, honest):
    gone = project.home.folder / "gone"
    gone.mkdir()
    (gone / "sitecustomize.py").write_text(FOREIGN)
    foreign = {"PYTHONPATH": str(gone)}
    project.call("run", "--name", "once", "--seal", str(project.seal), "--", *project.command(), environment=foreign)
    (gone / "sitecustomize.py").write_text("")
    said = project.audit("once", code=1)
    (named,) = said["named"]
    assert (said["verdict"], said["first_bad_step"], named["naming"]["as_found"]) == ("mismatch", 20, "as_sealed")
    assert (named["file"], named["operation"], named["naming"]["function"]) == (None, None, None)
    (gone / "sitecustomize.py").write_text(FOREIGN.replace("1.01", "1.02"))
    said = project.audit("once", code=1)
    assert (said["named"][0]["naming"]["as_found"], said["named"][0]["file"]) == ("neither", None)
    said = project.audit("once", "--no-naming", code=1)
    assert (said["replays"], said["named"][0]["naming"]) == (2, None)


def test_a_run_without_a_seal_is_compared_and_nothing_is_called_proved(project, honest):
    project.call("run", "--name", "plain", "--", *project.command())
    said = project.audit("plain", code=3)
    assert (said["verdict"], said["steps"]["match"], said["first_bad_step"]) == ("not_checkable", 32, None)
    assert said["reasons"] == ["the environment did not verify: " + said["environment"]["differences"][0]]


def test_what_lies_in_the_project_now_has_no_say_where_the_seal_names_a_commit(project, honest):
    try:
        (project.folder / "train.py").write_text(SCRIPT.replace("1e-3", "1e-2"))
        (project.folder / "torch.py").write_text("raise SystemExit('not torch')\n")
        said = project.audit("honest", code=0)
    finally:
        (project.folder / "train.py").write_text(SCRIPT)
        (project.folder / "torch.py").unlink()
    assert (said["verdict"], said["environment"]["differences"]) == ("match", [])


def test_a_weight_that_the_script_itself_edited_between_two_steps_is_named_at_the_later_one(project, honest):
    edit = "optimizer.step()\n        if epoch == 1 and optimizer.state[model[0].weight]['step'] == 19:\n"
    edit += "            model[0].weight.data[0, 0] += 1e-6"
    try:
        (project.folder / "train.py").write_text(SCRIPT.replace("optimizer.step()", edit))
        project.call("run", "--name", "edited", "--seal", str(project.seal), "--", *project.command())
        said = project.audit("edited", code=1)
    finally:
        (project.folder / "train.py").write_text(SCRIPT)
    assert (said["verdict"], said["first_bad_step"]) == ("mismatch", 19)
    (named,) = said["named"]
    assert (named["stage"], named["naming"]["as_found"]) == ("between_steps", "as_recorded")
    assert named["object"] == "train.<module>"
    assert (project.folder / "train.py").read_text() == SCRIPT
    line = SCRIPT.replace("optimizer.step()", edit).splitlines().index(edit.splitlines()[1]) + 1
    assert named["file"] == f"{project.folder}/train.py:{line}"


@pytest.mark.skipif(os.geteuid() != 0, reason="another account could never undo it")
def test_a_program_as_root_that_looks_for_keys_behind_its_walls_finds_none_and_is_a_match(project, honest):
    found = Path(f"/dev/shm/saksi-sought.{os.getpid()}")  # which a replay may write into
    words = (APART, "seeks.py", str(project.home.folder / "home"), found.name)
    (project.folder / "seeks.py").write_text(SCRIPT + KEYS_SOUGHT)
    try:
        git(project.folder, "add", "-A")
        git(project.folder, "commit", "-qm", "it seeks")
        seal = project.seal.with_name("seeks.seal")
        project.approve(seal, *words)
        project.call("run", "--name", "seeks", "--seal", str(seal), "--", *words)
        said = project.audit("seeks", code=0)
        run, *replays = found.read_text().splitlines()
    finally:
        found.unlink(missing_ok=True)
    assert (said["verdict"], said["steps"]["match"]) == ("match", 32)
    assert "keys" in run.split()  # where nothing hides them, they are there
    assert replays == [""] * said["replays"]


def test_another_interpreter_than_the_sealed_one_does_not_verify(project, honest):
    other = project.home.folder / "other"
    other.symlink_to(sys._base_executable)
    said = project.audit("honest", "--python", str(other), code=3)
    assert said["verdict"] == "not_checkable"
    assert not said["environment"]["verified"]


def test_a_program_that_seeds_nothing_does_not_repeat_itself(project, honest):
    project.call("run", "--name", "unseeded", "--", *project.command("unseeded"))
    said = project.audit("unseeded", code=3)
    assert said["replays"] == 2
    distance = said["distance"]
    assert distance["loss"]["apart"] > 0.01
    assert distance["between_replays"]["loss"]["apart"] > 0.01
    assert distance["between_replays"]["threads"] == [1, 1]
    assert any("does not repeat itself" in each for each in said["reasons"])


def test_a_replay_that_takes_more_memory_than_it_may_is_not_checkable_and_says_why(project, honest):
    said = project.audit("honest", "--memory", "0.1", code=3)
    (reason,) = said["reasons"]
    assert reason.endswith("it was ended as it took more than 0.1 GiB of memory: see --memory")
    assert (said["verdict"], said["steps"]["match"], said["environment"]["verified"]) == ("not_checkable", 0, True)


def test_a_replay_that_is_ended_leaves_no_process(project, honest):
    project.call("run", "--name", "slow", "--", *project.command())
    process = project.home.popen("audit", "slow", "--seal", str(project.seal), cwd=project.folder)
    until = time.monotonic() + 60
    while not (below := descendants_of(process.pid)) and time.monotonic() < until:
        time.sleep(0.05)
    assert below
    time.sleep(1)
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 128 + signal.SIGTERM
    for pid in below:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, 0)
            state = open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()[0]  # noqa: SIM115
            assert state == "Z", pid


def test_runs_and_attempts_that_are_not_there_and_commands_that_were_not_sealed_are_said_in_one_line(project):
    missing = project.home.run("audit", "nothing", cwd=project.folder)
    assert (missing.returncode, missing.stderr.count("\n")) == (2, 1)


def test_with_other_threads_a_step_is_as_near_as_rounding_and_one_changed_label_would_not_be(project):
    seal, command = project.seal.with_name("rounded.seal"), (APART, "rounded.py")
    project.approve(seal, *command)
    project.call("run", "--name", "rounded", "--seal", str(seal), "--", *command)
    found = project.audit("rounded", "--steps", "4:7", "--threads", "1", "--resume-with", "--resume {ckpt}", code=0)
    if any("namespaces" in each for each in found["reasons"]):
        not_allowed(str(found["reasons"]))
    assert (found["verdict"], found["tier"], found["environment"]["verified"]) == ("match", "split", True)
    assert (found["steps"]["replayed"], found["steps"]["match"], found["replays"]) == (1, 1, 5)
    (line,) = found["sampled"]["stretches"]
    assert (line["means"], line["equal"], line["split"]["step"]) == ("resume", False, 4)
    assert line["reason"] == "resumed there it is another: step 4 of rank 0: torch has another number of threads"
    assert 0.0 < line["split"]["slack"] < 1.0
    assert line["split"]["planted"] > 1000.0
    assert line["split"]["noise"] < 1e-5
