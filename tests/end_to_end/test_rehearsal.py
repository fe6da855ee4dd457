"""A command that is rehearsed, approved and launched, as a user sees it; and commands that cannot be rehearsed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from judgement.seals import MARIA
from saksi.doors.cli.reading import judged, open_reading
from saksi.edges.approver_keys import trust_approver
from saksi.edges.home import Home as SaksiHome
from saksi.edges.seal_files import read_seal_file, replace_seal_file
from saksi.judgement.approvals import add_signature
from saksi_run import Home
from torch_loaded import LOADED

STEPS = 5
SCRIPT = (
    LOADED
    + """
import time
import torch
torch.set_num_threads(1)
torch.manual_seed(0)
model = torch.nn.Linear(4, 4)
optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
for step in range(600):
    model(torch.randn(8, 4)).square().mean().backward()
    optimizer.step()
    optimizer.zero_grad()
    print("step", step, flush=True)
    if step > 8:
        time.sleep(0.1)
"""
)
FOREIGN = """
import torch
step, made = torch.optim.AdamW.step, []
def nudged(self, *args, **kwargs):
    made.append(1)
    if len(made) > 3:
        self.param_groups[0]["betas"] = (0.9, 0.95)
    return step(self, *args, **kwargs)
torch.optim.AdamW.step = nudged
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    home = Home(tmp_path_factory.mktemp("rehearsal"))
    (home.folder / "train.py").write_text(SCRIPT)
    (home.folder / "maria.vkey").write_text(f"{MARIA.vkey}\n")
    trust_approver(SaksiHome(home.folder / "home"), home.folder / "maria.vkey")
    return home


def create(home, *command, steps=STEPS, name="run.seal", options=(), **more):
    words = ("seal", "create", "--no-environment", "--rehearse", str(steps), "-o", name, *options, "--", *command)
    return home.run(*words, cwd=home.folder, **more)


@pytest.fixture(scope="module")
def rehearsed(home):
    """The command's seal file, rehearsed and approved."""
    done = create(home, sys.executable, "train.py")
    assert done.returncode == 0, done.stderr
    path = home.folder / "run.seal"
    replace_seal_file(path, add_signature(read_seal_file(path), MARIA))
    return done


def launch(home, **environment):
    command = [sys.executable, "train.py"]
    words = ["run", "-q", "--seal", "run.seal", "--", *command]
    environment = {**home.environment, **environment}
    with home.popen(*words, cwd=home.folder, env=environment, stdout=subprocess.PIPE, text=True) as job:
        for line in job.stdout:
            if line == f"step {STEPS + 6}\n":
                job.terminate()
    os.environ["SAKSI_HOME"] = str(home.folder / "home")
    return [each for each in judged(open_reading("last")).report.items if each.check == "rehearsal"]


@pytest.mark.training
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_rehearsed_command_is_ended_and_what_it_did_is_in_the_file(home, rehearsed):
    assert "saksi: rehearsing the first 5 steps" in rehearsed.stderr
    assert "step 4\n" in rehearsed.stdout
    assert "step 599" not in rehearsed.stdout
    rehearsal = read_seal_file(home.folder / "run.seal").file.rehearsal
    (rank,) = rehearsal.ranks
    assert [each.update for each in rank.updates] == list(range(STEPS))
    assert [each.step for each in rank.roots] == list(range(-1, STEPS))
    assert [each.class_name for each in rank.optimizers] == ["torch.optim.adamw.AdamW"]
    shown = home.run("seal", "show", "run.seal", cwd=home.folder)
    assert "Rehearsed" in shown.stdout
    assert "5 steps, loss " in shown.stdout
    same = home.run("seal", "diff", "run.seal", "run.seal", cwd=home.folder)
    assert "rehears" not in same.stdout


@pytest.mark.training
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_an_honest_launch_alleges_nothing(home, rehearsed, monkeypatch):
    monkeypatch.setenv("SAKSI_HOME", str(home.folder / "home"))
    assert launch(home) == []


@pytest.mark.training
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_foreign_start_up_file_that_changes_beta2_is_named(home, rehearsed, monkeypatch):
    monkeypatch.setenv("SAKSI_HOME", str(home.folder / "home"))
    foreign = home.folder / "foreign"
    foreign.mkdir()
    (foreign / "sitecustomize.py").write_text(FOREIGN)
    path = os.pathsep.join(filter(None, (str(foreign), os.environ.get("PYTHONPATH"))))
    found = {each.code: each for each in launch(home, PYTHONPATH=path)}
    settings = found["rehearsal.settings_differ"]
    assert (settings.subject, settings.first_step, settings.alleges) == ("groups[0].betas[1]", 3, "unknown")
    assert settings.message.startswith("groups[0].betas[1] is 0.95 at step 3, and was 0.999 in the rehearsal.")


def alive(folder):
    found = []
    for each in Path("/proc").iterdir():
        try:
            if each.name.isdigit() and os.fsencode(folder) in (each / "environ").read_bytes():
                found.append(int(each.name))
        except OSError:
            continue
    return found


def none_left(home):
    deadline = time.monotonic() + 10
    while alive(home.folder) and time.monotonic() < deadline:
        time.sleep(0.1)
    return alive(home.folder) == []


@pytest.mark.parametrize(
    ("program", "code", "why"),
    [
        ("print('done')", 3, "no training process attached"),
        ("raise SystemExit(7)", 4, "the command failed with exit code 7 after 0 of 5 steps"),
    ],
)
def test_a_command_that_does_not_train_is_told_in_one_line_and_no_file_is_written(tmp_path, program, code, why):
    home = Home(tmp_path)
    done = create(home, sys.executable, "-c", program)
    assert (done.returncode, f"saksi: not rehearsed, and no file written: {why}" in done.stderr) == (code, True)
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "run.seal").exists()
    assert home.runs() == []


def test_what_the_command_prints_is_hidden_where_that_is_asked_for(tmp_path):
    assert "done" in create(Home(tmp_path), sys.executable, "-c", "print('done')").stdout
    assert create(Home(tmp_path), sys.executable, "-c", "print('done')", options=("-q",)).stdout == ""


@pytest.mark.parametrize("steps", ["0", "-1", "1001"])
def test_a_number_of_steps_that_cannot_be_rehearsed_is_refused(tmp_path, steps):
    done = create(Home(tmp_path), sys.executable, "-c", "open('started', 'w')", steps=steps)
    assert (done.returncode, f"--rehearse {steps} is not a number of steps" in done.stderr) == (2, True)
    assert not (tmp_path / "started").exists()


def test_a_file_that_is_there_already_is_said_before_the_command_runs(tmp_path):
    (tmp_path / "run.seal").write_text("mine")
    done = create(Home(tmp_path), sys.executable, "-c", "open('started', 'w')")
    assert (done.returncode, (tmp_path / "run.seal").read_text()) == (2, "mine")
    assert "run.seal is there already" in done.stderr
    assert not (tmp_path / "started").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_rehearsal_that_is_interrupted_leaves_no_file_and_no_process(tmp_path, number):
    home = Home(tmp_path)
    program = (
        "import signal, subprocess, sys, time; signal.signal(signal.SIGTERM, signal.SIG_DFL);"
        "subprocess.Popen(['sleep', '1000'], start_new_session=True); open('started', 'w').close(); time.sleep(1000)"
    )
    words = (
        "seal",
        "create",
        "--no-environment",
        "--rehearse",
        "5",
        "-o",
        "run.seal",
        "--",
        sys.executable,
        "-c",
        program,
    )
    with home.popen(*words, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as job:
        deadline = time.monotonic() + 60
        while not (tmp_path / "started").exists() and time.monotonic() < deadline:
            time.sleep(0.1)
        assert (tmp_path / "started").exists()
        job.send_signal(number)
        said = job.communicate(timeout=60)[1]
    assert job.returncode != 0
    assert "Traceback" not in said
    assert not (tmp_path / "run.seal").exists()
    assert home.runs() == []
    assert none_left(home)


@pytest.mark.parametrize(("first", "second"), [(signal.SIGINT, signal.SIGINT), (signal.SIGTERM, signal.SIGTERM)])
def test_a_second_signal_hurries_and_leaves_nothing_half_made(tmp_path, first, second):
    """The job does not end when it is asked to, so that the second one comes while everything is put in order."""
    home, scratch = Home(tmp_path), tmp_path / "scratch"
    scratch.mkdir()
    program = (
        "import signal, subprocess, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        "subprocess.Popen(['sleep', '1000'], start_new_session=True); open('started', 'w').close(); time.sleep(1000)"
    )
    words = ("seal", "create", "--no-environment", "--rehearse", "5", "-o", "run.seal", "--", sys.executable, "-c")
    environment = {**home.environment, "TMPDIR": str(scratch)}
    with home.popen(*words, program, cwd=tmp_path, stderr=subprocess.PIPE, text=True, env=environment) as job:
        deadline = time.monotonic() + 60
        while not (tmp_path / "started").exists() and time.monotonic() < deadline:
            time.sleep(0.1)
        assert (tmp_path / "started").exists()
        job.send_signal(first)
        time.sleep(1.0)
        assert job.poll() is None
        job.send_signal(second)
        said = job.communicate(timeout=60)[1]
    assert job.returncode in {130, 143}
    assert "Traceback" not in said
    assert not (tmp_path / "run.seal").exists()
    assert none_left(home)
    assert list(scratch.iterdir()) == []
