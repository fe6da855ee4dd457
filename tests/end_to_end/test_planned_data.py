"""Data and parameters that are declared, sealed, approved and trained on; and what leaves the plan, each by itself."""

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
lr = 1e-2
max_norm = 0.5
accumulation = 1
trained = "all"

[data]
items = 80
order = "shuffled"
each = "once"
drop_last = false
content = "same"
"""
SCRIPT = (
    LOADED
    + """
from pathlib import Path
import torch
from torch.utils.data import DataLoader, TensorDataset
torch.set_num_threads(1)
torch.manual_seed(0)
x = torch.randn(80, 4)
data = TensorDataset(x, x.sum(1, keepdim=True))
loader = DataLoader(data, batch_size=8, shuffle=True)
held_out = DataLoader(TensorDataset(torch.randn(24, 4)), batch_size=8)
model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1))
optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
named = dict(model.named_parameters())
does = next((each.name for each in Path("act").glob("*")), "")  # what nobody declared
step = 0
for epoch in range(3):
    if epoch == 1 and does in {"order", "repeats", "part"}:
        order = {"order": range(80), "repeats": [*range(40)] * 2, "part": range(40)}[does]
        loader = DataLoader(data, batch_size=8, sampler=list(order))
    for inputs, targets in loader:
        late = step >= 15
        if step == 14 and does == "labels":
            data.tensors[1][:] = 3.0
        if late and does == "frozen":
            named["2.weight"].requires_grad_(False)
        torch.nn.functional.mse_loss(model(inputs), targets).backward(retain_graph=True)
        if step == 15 and does == "more":
            (model(inputs).square().mean() * 0.1).backward()
        if step == 15 and does == "dropped":
            group = optimizer.param_groups[0]
            group["params"] = [each for each in group["params"] if each is not named["2.weight"]]
        if late and does == "clipped":
            torch.nn.utils.clip_grad_norm_(model.parameters(), 0.01)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 0.5)
        if late and step % 3 == 0 and does == "zeroed":
            named["2.weight"].grad.zero_()
        optimizer.step()
        optimizer.zero_grad()
        step += 1
    with torch.no_grad():
        for inputs, in held_out:
            model(inputs)
"""
)
pytestmark = [pytest.mark.training, pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    home = Home(tmp_path_factory.mktemp("planned"))
    (home.folder / "train.py").write_text(SCRIPT)
    (home.folder / "saksi.toml").write_text(PLAN)
    (home.folder / "act").mkdir()
    (home.folder / "maria.vkey").write_text(f"{MARIA.vkey}\n")
    trust_approver(SaksiHome(home.folder / "home"), home.folder / "maria.vkey")
    done = home.run(
        "seal", "create", "--no-environment", "--", sys.executable, "train.py", cwd=home.folder, timeout=280
    )
    assert done.returncode == 0, done.stderr
    path = home.folder / "run.seal"
    replace_seal_file(path, add_signature(read_seal_file(path), MARIA))
    return home


def launched(home, monkeypatch, act=None):
    """What weighs against a launch that does this, and what is not known of it."""
    monkeypatch.setenv("SAKSI_HOME", str(home.folder / "home"))
    for each in (home.folder / "act").iterdir():
        each.unlink()
    if act is not None:
        (home.folder / "act" / act).touch()
    options = ("-q", "--overhead-budget", "100", "--seal", "run.seal")
    done = home.run("run", *options, "--", sys.executable, "train.py", cwd=home.folder, timeout=280)
    assert done.returncode == 0, done.stderr
    report = judged(open_reading("last")).report
    assert report.coverage.steps_witnessed == (20 if act == "part" else 30)
    return [each for each in report.items if each.severity != "info" or each.code.endswith("plan_not_checkable")]


def test_what_is_trained_as_declared_alleges_nothing(home, monkeypatch):
    assert launched(home, monkeypatch) == []


BY_ITSELF = {
    "order": ("data.order_not_planned", 10, "the order is made by builtins.list"),
    "repeats": ("data.repeats_not_planned", 15, "handed out before, 0, 1, 2"),
    "part": ("data.items_not_planned", 10, "no more after 40 different samples, and 80 are planned"),
    "labels": ("data.content_not_planned", 15, "while others had the same"),
    "more": ("plan.accumulation_differs", 15, "Update 15 has 2, and 1 are planned for each."),
    "frozen": ("plan.parameter_not_trained", 15, "At update 15 2.weight has no gradient"),
    "dropped": ("plan.parameter_not_trained", 15, "Since update 15 2.weight is in no group of the optimizer"),
    "clipped": ("gradient.clipping_differs", 15, "Clipping at 0.5 is planned"),
    "zeroed": ("gradient.zeroed", 15, "nothing was left of the gradient of 2.weight"),
}


@pytest.mark.parametrize("act", BY_ITSELF)
def test_what_nobody_declared_is_named_at_its_step(home, monkeypatch, act):
    code, first, said = BY_ITSELF[act]
    found = launched(home, monkeypatch, act)
    (named,) = [each for each in found if each.code == code]
    assert (named.severity, named.alleges) == ("warning", "unknown")
    few = 4 if act == "labels" else 1  # of each batch half of the samples are drawn
    assert named.first_step in range(first, first + few)
    assert said in named.message
    explained = {"data.order_not_planned", "data.items_not_planned"} if act in {"repeats", "part"} else set()
    assert {each.code for each in found} - {code} <= explained
