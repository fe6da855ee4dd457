"""Somebody hears of a finding while training goes on, once, also when the agent is killed in between."""

from __future__ import annotations

import json
import os
import signal
import sys
import time

import pytest

from saksi.edges.runs import read_run
from saksi.edges.store.local import LocalStore
from saksi.words.codec import decode_record
from saksi.words.errors import SaksiError
from saksi.words.records import FindingRecord, ProcessRecord
from saksi_run import Home, agents_alive
from torch_loaded import LOADED

pytestmark = [pytest.mark.training, pytest.mark.slow]

CODE = "plan.hyper_parameter_changed"
SCRIPT = (
    LOADED
    + """
import os, sys, time, torch
torch.set_num_threads(1)
model = torch.nn.Linear(4, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1, weight_decay=0.1)
end = time.monotonic() + 60
step = 0
while not os.path.exists(sys.argv[1]) and time.monotonic() < end:
    if step == 5:
        optimizer.param_groups[0]["weight_decay"] = 0.2
    optimizer.zero_grad()
    model(torch.ones(2, 4)).mean().backward()
    optimizer.step()
    step += 1
    time.sleep(0.05)
print("stopped by", "the hook" if os.path.exists(sys.argv[1]) else "the clock")
"""
)
KEEP = """
import json, sys, time
document = json.loads(sys.stdin.read())
time.sleep(1)  # the agent looks at the job's processes meanwhile
with open(sys.argv[1], "a") as file:
    file.write(document["finding"]["code"] + "\\n")
"""


def prepared(tmp_path):
    (tmp_path / "train.py").write_text(SCRIPT)
    (tmp_path / "keep.py").write_text(KEEP)
    home = Home(tmp_path)
    home.environment["SAKSI_AGENT"] = "embedded"
    return home, f"{sys.executable} {tmp_path}/keep.py {tmp_path}/heard"


def test_a_finding_is_told_while_training_goes_on(tmp_path):
    home, hook = prepared(tmp_path)
    done = home.run(
        "run", "--notify", hook, "--notify", "false", "--", sys.executable, str(tmp_path / "train.py"),
        str(tmp_path / "heard"),
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "stopped by the hook\n")
    assert (tmp_path / "heard").read_text().split().count(CODE) == 1
    assert "not delivered" in done.stderr  # the other hook's
    records = home.records()
    assert CODE in {each.finding.code for each in records if isinstance(each, FindingRecord)}
    processes = [each for each in records if isinstance(each, ProcessRecord)]
    assert any("train.py" in str(each) for each in processes)
    assert not any("keep.py" in str(each) for each in processes)


def test_an_agent_that_takes_over_does_not_tell_again(tmp_path):
    home, hook = prepared(tmp_path)
    stop = tmp_path / "stop"
    job = home.popen("run", "-q", "--notify", hook, "--", sys.executable, str(tmp_path / "train.py"), str(stop))
    eventually(lambda: (tmp_path / "heard").exists() and CODE in (tmp_path / "heard").read_text())
    eventually(lambda: CODE in recorded(home))
    (agent,) = agents_alive(home)
    os.kill(agent, signal.SIGKILL)
    eventually(lambda: agents_alive(home) not in ([], [agent]))
    stop.touch()
    assert job.wait(60) == 0
    codes = (tmp_path / "heard").read_text().split()
    assert codes.count(CODE) == 1
    assert "coverage.gap" in codes
    assert json.loads(home.run("findings", "last", "--json").stdout)["verdict"] == "affected"


def recorded(home):
    """Codes of the findings that a head covers: behind it, an agent that takes over finds nothing."""
    try:
        written = read_run(LocalStore(home.runs()[-1]), run=home.runs()[-1].name, live=True).entries
        records = [decode_record(each) for each in written]
    except (SaksiError, IndexError):  # it is being written
        return set()
    return {each.finding.code for each in records if isinstance(each, FindingRecord)}


def eventually(condition):
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)
