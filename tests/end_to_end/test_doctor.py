"""`saksi doctor` as a whole: launches under an agent in confinement, a kill, a resume, and nothing left behind."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import jsonschema
import pytest

from confining import not_allowed
from saksi.doors.cli.schemas import schema_text
from saksi.edges.host.procfs import descendants_of
from saksi_run import Home

pytestmark = [pytest.mark.training, pytest.mark.slow, pytest.mark.timeout(600)]

ROOT = Path(__file__).resolve().parents[2]
APART = str(ROOT / ".venv-train/bin/python")
SMALL = ["--width", "16", "--layers", "1", "--length", "16", "--batch", "4", "--save-every", "3"]


@pytest.fixture
def project(tmp_path):
    home = Home(tmp_path)
    project = tmp_path / "project"
    project.mkdir()
    (project / "train.py").write_text((ROOT / "examples/gpt/train.py").read_text())
    (project / "text").write_text("the quick brown fox jumps over the lazy dog\n" * 200)
    (project / "saksi.toml").write_text('[replay]\nresume = "--resume {ckpt}"\n')
    return home, project


def test_the_example_continues_and_nothing_is_left_of_it(project):
    home, folder = project
    before = sorted(folder.rglob("*"))
    command = [APART, "train.py", "--data", "text", *SMALL]
    done = home.run("doctor", "--no-threads", "--json", "--", *command, cwd=folder, timeout=500)
    said = json.loads(done.stdout) if done.stdout else {}
    if "namespaces" in done.stderr or any("namespaces" in each for each in said.get("reasons", ())):
        not_allowed(done.stderr + done.stdout)
    assert (done.returncode, said["verdict"], said["ingredients"]) == (0, "continues", []), done.stdout + done.stderr
    assert said["steps"] == {"recorded": 8, "saved_after": 2, "killed_after": 4, "resumed": 4, "compared": 4}
    assert said["resumed_with"][0] == "--resume"
    jsonschema.validate(said, json.loads(schema_text("saksi.doctor/v1")))
    assert sorted(folder.rglob("*")) == before
    assert home.runs() == []


ALONE = """
import os, torch
torch.manual_seed(1)
torch.set_num_threads(1)
model = torch.nn.Linear(4, 4)
optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
done = 0
if os.path.exists("ckpt.pt"):
    ckpt = torch.load("ckpt.pt", weights_only=True)
    model.load_state_dict(ckpt["model"])
    optimizer.load_state_dict(ckpt["optimizer"])
    torch.set_rng_state(ckpt["rng"])
    done = ckpt["done"]
for step in range(done, 100):
    optimizer.zero_grad()
    model(torch.randn(4, 4)).square().mean().backward()
    optimizer.step()
    if step % 3 == 2:
        saved = {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
        torch.save({**saved, "rng": torch.get_rng_state(), "done": step + 1}, "ckpt.pt")
"""


def test_what_a_loop_starts_again_within_a_launch_is_no_part_of_it(project):
    home, folder = project
    (folder / "alone.py").write_text(ALONE)
    command = ["sh", "-c", f"until {APART} alone.py; do :; done"]
    done = home.run("doctor", "--no-threads", "--json", "--limit", "100", "--", *command, cwd=folder, timeout=500)
    if "namespaces" in done.stderr + done.stdout:
        not_allowed(done.stderr + done.stdout)
    said = json.loads(done.stdout)
    assert (done.returncode, said["verdict"], said["ingredients"]) == (0, "continues", []), said
    assert said["steps"] == {"recorded": 8, "saved_after": 2, "killed_after": 4, "resumed": 4, "compared": 4}


def test_a_signal_ends_everything_that_it_started(project):
    home, folder = project
    command = [APART, "train.py", "--data", "text", *SMALL]
    job = home.popen("doctor", "--json", "--", *command, cwd=folder, start_new_session=True)
    until = time.monotonic() + 60
    while len(descendants_of(job.pid)) < 3 and time.monotonic() < until:
        time.sleep(0.1)
    there = descendants_of(job.pid)
    assert len(there) >= 3
    os.kill(job.pid, signal.SIGTERM)  # an interrupt is one more of the same; under a shell's `&` it is ignored
    assert job.wait(100) == 128 + signal.SIGTERM
    assert [each for each in there if Path(f"/proc/{each}").exists()] == []
    assert not (folder / "out").exists()
