"""A plan that is declared, sealed, approved and launched, with torch's own scheduler; and what leaves it."""

from __future__ import annotations

import sys

import pytest

from judgement.seals import MARIA
from saksi.doors.cli.reading import judged, open_reading
from saksi.edges.approver_keys import trust_approver
from saksi.edges.home import Home as SaksiHome
from saksi.edges.seal_files import read_seal_file, replace_seal_file
from saksi.judgement.approvals import add_signature
from saksi_run import Home
from torch_loaded import LOADED

PLAN = """
[plan]
optimizer = "torch.optim.adamw.AdamW"
steps = 30
lr = [[5, 1e-2], [30, 0.0]]
between = "cosine"
warm_up = 5
warm_up_from = 1e-3
max_norm = 1.0
hyper_parameters = { betas = [0.9, 0.95] }
groups = [{ weight_decay = 0.1 }, { weight_decay = 0.0, lr_scale = 0.5 }]
"""
SCRIPT = (
    LOADED
    + """
from pathlib import Path
import torch
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, SequentialLR
torch.set_num_threads(1)
torch.manual_seed(0)
model = torch.nn.Linear(4, 4)
groups = [{"params": [model.weight], "weight_decay": 0.1}, {"params": [model.bias], "weight_decay": 0.0, "lr": 0.005}]
optimizer = torch.optim.AdamW(groups, lr=0.01, betas=(0.9, 0.95))
both = [LinearLR(optimizer, 0.1, 1.0, 5), CosineAnnealingLR(optimizer, 25)]
schedule = SequentialLR(optimizer, both, milestones=[5])
for step in range(30):
    model(torch.randn(8, 4)).square().mean().backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad()
    schedule.step()
    if step == 11 and Path("factor").exists():  # what nobody sealed
        for group in optimizer.param_groups:
            group["lr"] *= 0.97
"""
)


@pytest.fixture
def home(tmp_path, monkeypatch):
    home = Home(tmp_path)
    (home.folder / "train.py").write_text(SCRIPT)
    (home.folder / "saksi.toml").write_text(PLAN)
    (home.folder / "maria.vkey").write_text(f"{MARIA.vkey}\n")
    trust_approver(SaksiHome(home.folder / "home"), home.folder / "maria.vkey")
    monkeypatch.setenv("SAKSI_HOME", str(home.folder / "home"))
    return home


def plan_findings(home):
    done = home.run("run", "-q", "--seal", "run.seal", "--", sys.executable, "train.py", cwd=home.folder, timeout=280)
    assert done.returncode == 0, done.stderr
    report = judged(open_reading("last")).report
    assert report.coverage.steps_witnessed == 30
    return [each for each in report.items if each.code.startswith(("plan.", "dynamics."))]


@pytest.mark.training
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_what_runs_as_planned_alleges_nothing_and_a_rate_that_was_scaled_is_named(home):
    done = home.run(
        "seal", "create", "--no-environment", "--", sys.executable, "train.py", cwd=home.folder, timeout=280
    )
    assert done.returncode == 0, done.stderr
    path = home.folder / "run.seal"
    replace_seal_file(path, add_signature(read_seal_file(path), MARIA))
    assert plan_findings(home) == []
    (home.folder / "factor").touch()
    first, second = plan_findings(home)
    assert {first.code, second.code} == {"plan.learning_rate_differs"}
    assert (first.severity, first.first_step, first.ranks) == ("warning", 12, (0,))
    assert "0.97 times as much" in first.message
