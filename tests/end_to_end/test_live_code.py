"""A process patched while it trains: named by function and file in the record, and asked while it goes on."""

from __future__ import annotations

import sys

import pytest

from saksi.words.records import ChallengeRecord, SourceRecord
from saksi_run import Home
from torch_loaded import LOADED

pytestmark = [pytest.mark.training, pytest.mark.slow, pytest.mark.timeout(300)]

PAYLOAD = """
def forward(self, x):
    return type(self).original(self, x) * 1.01
"""
SCRIPT = (
    LOADED
    + """
import sys, time
import torch
torch.set_num_threads(1)
sys.path.insert(0, {elsewhere!r})
model = torch.nn.Linear(4, 1)
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
for step in range(30):
    if step == 12:
        import payload
        torch.nn.Linear.original, torch.nn.Linear.forward = torch.nn.Linear.forward, payload.forward
    optimizer.zero_grad(); model(torch.ones(2, 4)).sum().backward(); optimizer.step()
    time.sleep(0.1)
"""
)


def test_a_method_that_is_replaced_while_a_run_goes_on_is_named_with_its_file_at_most_two_steps_late(tmp_path):
    own, elsewhere = tmp_path / "own", tmp_path / "elsewhere"
    own.mkdir()
    elsewhere.mkdir()
    (elsewhere / "payload.py").write_text(PAYLOAD)
    (own / "train.py").write_text(SCRIPT.format(elsewhere=str(elsewhere)))
    home = Home(tmp_path / "home")
    done = home.run("run", "--", sys.executable, "train.py", cwd=own, timeout=200)
    assert done.returncode == 0, done.stderr
    report = home.json("findings", "last")
    assert report["coverage"]["complete"], report["items"]
    records = home.records()
    assert any(isinstance(each, ChallengeRecord) for each in records)
    assert any(isinstance(each, SourceRecord) and each.path.endswith("torch/nn/functional.py") for each in records)
    item = {each["subject"]: each for each in report["items"]}["torch.nn.modules.linear.Linear.forward"]
    assert (item["code"], item["severity"], item["alleges"]) == ("live.code_replaced", "warning", "unknown")
    assert f"forward, {tmp_path}/elsewhere/payload.py:2" in item["message"]
    assert 12 <= item["first_step"] <= 14
    assert report["verdict"] == "affected"
