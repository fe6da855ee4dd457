"""What a program does between updates is declared, sealed, approved and launched; and the same at another step."""

from __future__ import annotations

import sys

import pytest

from judgement.seals import MARIA
from saksi.edges.approver_keys import trust_approver
from saksi.edges.home import Home as SaksiHome
from saksi.edges.seal_files import read_seal_file, replace_seal_file
from saksi.judgement.approvals import add_signature
from saksi_run import Home
from torch_loaded import LOADED

PRUNED = "state.changed_between_steps"
EXPECT = f"""
[[expect]]
code = "{PRUNED}"
subject = "parameters of optimizer 0"
steps = "10-29"
every = 10
rank = 0
why = "The smallest weights are set to zero before every tenth update."
"""
SCRIPT = (
    LOADED
    + """
from pathlib import Path
import torch
torch.set_num_threads(1)
torch.manual_seed(0)
model = torch.nn.Linear(8, 8)
optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
for step in range(30):
    if step in (10, 20) or (step == 25 and Path("again").exists()):  # 25 is what nobody sealed
        with torch.no_grad():
            model.weight[model.weight.abs() < 0.05] = 0.0
    model(torch.randn(8, 8)).square().mean().backward()
    optimizer.step()
    optimizer.zero_grad()
"""
)


@pytest.fixture
def home(tmp_path):
    home = Home(tmp_path)
    (home.folder / "train.py").write_text(SCRIPT)
    (home.folder / "saksi.toml").write_text(EXPECT)
    (home.folder / "maria.vkey").write_text(f"{MARIA.vkey}\n")
    trust_approver(SaksiHome(home.folder / "home"), home.folder / "maria.vkey")
    done = home.run(
        "seal", "create", "--no-environment", "--", sys.executable, "train.py", cwd=home.folder, timeout=280
    )
    assert done.returncode == 0, done.stderr
    return home


def trained(home):
    done = home.run("run", "-q", "--seal", "run.seal", "--", sys.executable, "train.py", cwd=home.folder, timeout=280)
    assert done.returncode == 0, done.stderr
    report = home.json("findings", "last")
    assert report["coverage"]["steps_witnessed"] == 30
    found = [each for each in report["items"] if each["severity"] != "info" or each["code"] == PRUNED]
    ends = [home.run(*words).returncode for words in (("findings", "last"), ("verify", "last"))]
    return report["verdict"], [(each["severity"], each["first_step"], each["last_step"]) for each in found], ends


@pytest.mark.training
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_what_an_approver_expects_counts_for_nothing_and_the_same_at_another_step_is_found(home):
    verdict, found, ends = trained(home)
    assert (verdict, ends) == ("affected", [1, 1]), "nobody approved it yet"
    assert found == [("warning", 10, 20)]
    path = home.folder / "run.seal"
    replace_seal_file(path, add_signature(read_seal_file(path), MARIA))
    verdict, found, ends = trained(home)
    assert (verdict, ends) == ("unknown", [3, 0])
    assert found == [("info", 10, 20)]
    (home.folder / "again").touch()
    verdict, found, ends = trained(home)
    assert (verdict, ends) == ("affected", [1, 1])
    assert found == [("warning", 25, 25), ("info", 10, 20)]
    assert home.json("show", "last")["verdict"] == "affected"
