"""torchrun starts its ranks again after one of them failed: the record tells the two groups apart."""

from __future__ import annotations

import sys

import pytest

from saksi_run import Home
from torch_loaded import LOADED, SETTLED

RANKS = (
    LOADED
    + """
import os, sys, time
import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel
torch.set_num_threads(1)
restart = os.environ["TORCHELASTIC_RESTART_COUNT"]
# In torchrun's own store gloo finds the addresses of the ranks that are gone.
meeting = {"init_method": f"file://{sys.argv[1]}.{restart}", "rank": int(os.environ["RANK"]), "world_size": 2}
dist.init_process_group("gloo", **meeting)
torch.manual_seed(dist.get_rank())
model = DistributedDataParallel(torch.nn.Linear(4, 4))
optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
for step in range(5):
    optimizer.zero_grad()
    model(torch.randn(8, 4)).pow(2).mean().backward()
    optimizer.step()
    if step == 2 and restart == "0" and dist.get_rank() == 1:
        time.sleep(1)  # torchrun takes its status in the moment it ends: the agent must have heard of it before
        os._exit(7)
dist.barrier()
dist.destroy_process_group()
"""
    + SETTLED
)


@pytest.mark.slow
@pytest.mark.training
def test_a_group_that_torchrun_starts_again_is_told_apart_from_the_one_that_failed(tmp_path):
    home = Home(tmp_path)
    (tmp_path / "ranks.py").write_text(RANKS)
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = home.run(
        "run",
        "--",
        *launcher,
        "--max-restarts",
        "1",
        str(tmp_path / "ranks.py"),
        str(tmp_path / "meeting"),
        timeout=300,
    )
    assert done.returncode == 0, done.stderr

    report = home.json("findings", "last")
    codes = {(each["code"], tuple(each["ranks"])) for each in report["items"]}
    assert ("availability.failed", (1,)) in codes
    assert "coverage.rank_missing" not in {code for code, _ in codes}
    # Three steps of the first group, of which the last ones before its end may not have been said; five of the second.
    coverage = report["coverage"]
    assert (coverage["steps_expected"], coverage["ranks"]) == (8, 2)
    assert not coverage["complete"]
    failed = next(each for each in report["items"] if each["code"] == "availability.failed" and each["ranks"] == [1])
    assert "ended with code 7 after step 2" in failed["message"]
    # torchrun ends the other rank, or that one's collective fails: neither is held against anybody.
    assert {each["severity"] for each in report["items"] if each["check"] == "availability"} == {"info"}
    assert "restart" in home.run("show", "last").stdout
