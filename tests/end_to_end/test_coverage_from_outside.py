"""What hides from the recorder ends as a finding, never as silence."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from saksi.words.records import FileRecord
from saksi_run import Home
from torch_loaded import LOADED

ROOT = Path(__file__).resolve().parents[2]
TRAIN = (
    LOADED
    + """
import torch
torch.manual_seed(0)
model = torch.nn.Linear(4, 1)
optimizer = torch.optim.AdamW(model.parameters())
for _ in range(12):
    model(torch.ones(2, 4)).square().mean().backward()
    optimizer.step()
    optimizer.zero_grad()
"""
)

pytestmark = [pytest.mark.training, pytest.mark.timeout(200)]


@pytest.fixture
def home(tmp_path):
    (tmp_path / "train.py").write_text(TRAIN)
    return Home(tmp_path)


def codes(report):
    return {each["code"] for each in report["items"]}


@pytest.mark.parametrize(
    "prefix",
    [
        (sys.executable, "-I"),
        ("env", "-u", "PYTHONPATH", sys.executable),
        ("env", "-i", sys.executable),
        ("sh", "-c", 'unset PYTHONPATH; exec "$0" "$@"', sys.executable),
    ],
    ids=["isolated", "no-pythonpath", "scrubbed", "shell"],
)
def test_a_training_process_without_the_recorder_is_named(home, prefix):
    done = home.run("run", "-q", "--", *prefix, str(home.folder / "train.py"))
    assert done.returncode == 0, done.stderr
    report = home.json("findings", "last")
    assert "coverage.process_unwitnessed" in codes(report)
    assert report["coverage"]["complete"] is False
    assert report["coverage"]["steps_expected"] is None
    assert home.run("findings", "last").returncode == 3
    assert home.run("verify", "last").returncode == 3


def test_a_python_without_site_is_named_too(home):
    code = f"import sys; sys.path.append({_site_packages()!r}); exec(open({str(home.folder / 'train.py')!r}).read())"
    done = home.run("run", "-q", "--", sys.executable, "-S", "-c", code)
    assert done.returncode == 0, done.stderr
    assert "coverage.process_unwitnessed" in codes(home.json("findings", "last"))


def test_a_witnessed_run_that_starts_an_unwitnessed_one_is_not_complete(home):
    script = home.folder / "both.py"
    script.write_text(
        TRAIN + f"\nimport subprocess, sys\nsubprocess.run([sys.executable, '-I', {str(home.folder / 'train.py')!r}])\n"
    )
    home.run("run", "-q", "--", sys.executable, str(script))
    report = home.json("findings", "last")
    assert report["coverage"]["steps_witnessed"] == 12
    assert report["coverage"]["complete"] is False
    assert "coverage.process_unwitnessed" in codes(report)


def test_the_kill_switch_is_recorded_and_training_goes_on(home):
    environment = {**home.environment, "SAKSI_DISABLE": "1"}
    done = home.run("run", "-q", "--", sys.executable, str(home.folder / "train.py"), env=environment)
    assert done.returncode == 0
    report = home.json("findings", "last")
    assert report["coverage"]["complete"] is False
    assert "coverage.gap" in codes(report)


def test_a_script_that_crashes_leaves_its_steps_and_its_reason(home):
    script = home.folder / "crash.py"
    script.write_text(TRAIN + "\nraise RuntimeError('out of luck')\n")
    done = home.run("run", "-q", "--", sys.executable, str(script))
    assert done.returncode == 1
    assert "out of luck" in done.stderr
    report = home.json("findings", "last")
    assert report["coverage"]["steps_witnessed"] == 12
    assert "availability.failed" in codes(report)


def test_a_process_that_is_killed_keeps_what_it_had_said(home):
    script = home.folder / "kill.py"
    script.write_text(TRAIN + "\nimport os\nos.kill(os.getpid(), 9)\n")
    done = home.run("run", "-q", "--", sys.executable, str(script))
    assert done.returncode == 137
    report = home.json("findings", "last")
    assert report["coverage"]["steps_witnessed"] == 12
    assert codes(report) >= {"availability.killed", "coverage.rank_ended_silently"}


def test_a_process_that_is_left_behind_is_named(home):
    script = home.folder / "leave.py"
    script.write_text(
        TRAIN + "\nimport subprocess, sys\nsubprocess.Popen([sys.executable, '-c', 'import time; time.sleep(8)'],"
        " start_new_session=True, stdin=-3, stdout=-3, stderr=-3)\n"
    )
    assert home.run("run", "-q", "--", sys.executable, str(script)).returncode == 0
    report = home.json("findings", "last")
    assert report["coverage"]["steps_witnessed"] == 12
    assert report["coverage"]["complete"] is False
    assert "processes left running" in {each["subject"] for each in report["items"]}


def test_model_checkpoints_are_hashed_from_outside_and_recognised_later(home):
    script = home.folder / "save.py"
    script.write_text(TRAIN + f"\ntorch.save(model.state_dict(), {str(home.folder / 'model.pt')!r})\n")
    home.run("run", "-q", "--", sys.executable, str(script))
    (record,) = [each for each in home.records() if isinstance(each, FileRecord)]
    assert record.digest is not None
    assert record.step == 11
    known = home.run("verify", str(home.folder / "model.pt"))
    assert known.returncode == 0, known.stdout
    with (home.folder / "model.pt").open("ab") as file:
        file.write(b"x")
    assert home.run("verify", str(home.folder / "model.pt")).returncode == 1


def _site_packages():
    import torch  # noqa: PLC0415 - where it lies is the question

    return str(Path(torch.__file__).parents[1])
