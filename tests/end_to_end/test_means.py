"""Real ranks under `saksi run`: exchanges that are honest are nothing to speak of, one that is changed is told."""

from __future__ import annotations

import sys

import pytest

from saksi_run import Home
from torch_loaded import LOADED

pytestmark = [pytest.mark.training, pytest.mark.slow, pytest.mark.timeout(300)]

SCRIPT = (
    """
import os, subprocess, sys
case = sys.argv[1]
if "RANK" not in os.environ:
    ranks = [
        subprocess.Popen(
            [sys.executable, __file__, case],
            env={**os.environ, "RANK": str(each), "WORLD_SIZE": "2", "MEETING": os.path.abspath("meeting")},
        ) for each in range(2)
    ]
    sys.exit(max(abs(each.wait()) for each in ranks))
"""
    + LOADED
    + """
import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel
torch.set_num_threads(1)
rank = int(os.environ["RANK"])
dist.init_process_group("gloo", init_method="file://" + os.environ["MEETING"], rank=rank, world_size=2)
torch.manual_seed(rank if case in ("alone", "other-start") else 0)
model = nn.Sequential(nn.Linear(20, 64), nn.Tanh(), nn.Linear(64, 5))
inner = model
if case.startswith("ddp"):
    model = DistributedDataParallel(model, gradient_as_bucket_view=case == "ddp-views")
if case == "shards":
    from torch.distributed.fsdp import fully_shard
    fully_shard(model)
optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
scaler = torch.amp.GradScaler("cpu", init_scale=1024.0, growth_interval=7)
torch.manual_seed(100 + rank)
by_hand = not case.startswith("ddp") and case not in ("alone", "shards")
for step in range(30):
    optimizer.zero_grad()
    batches = 2 if case in ("accumulated", "ddp-accumulated") else 1
    for micro in range(batches):
        x = torch.randn(8 if case != "by-samples" or rank == 0 or step % 7 else 4, 20)
        loss = nn.functional.cross_entropy(model(x), x[:, :5].argmax(1)) / batches
        if case == "ddp-accumulated" and micro == 0:
            with model.no_sync():
                loss.backward()
        elif case == "scaler":
            scaler.scale(loss).backward()
        else:
            loss.backward()
    if case == "own-clip" and step > 6:
        nn.utils.clip_grad_norm_(model.parameters(), 0.4 + 0.3 * rank)
    for parameter in inner.parameters() if by_hand else ():
        if case == "biased" and step >= 12 and rank == 1:
            parameter.grad.mul_(0.5)
        own = parameter.grad.clone()
        if case == "by-samples" and step % 7 == 0:
            parameter.grad.mul_((8 if rank == 0 else 4) / 12 * 2)
        if case == "predivided":
            parameter.grad.div_(2)
        if case == "bfloat16":
            half = parameter.grad.bfloat16()
            dist.all_reduce(half)
            parameter.grad.copy_(half)
        else:
            dist.all_reduce(parameter.grad)
        if case != "predivided" and not (case == "summed" and step >= 12):
            parameter.grad.div_(2)
        if case == "left-out" and step >= 12:
            parameter.grad.copy_(own)
            dist.broadcast(parameter.grad, 1)
    if case == "clipped":
        nn.utils.clip_grad_norm_(model.parameters(), 0.5)
    if case == "scaler":
        scaler.step(optimizer)
        scaler.update()
    else:
        optimizer.step()
dist.barrier()
dist.destroy_process_group()
"""
)
HONEST = (
    "plain", "clipped", "own-clip", "accumulated", "scaler", "predivided", "bfloat16", "by-samples", "alone", "ddp",
    "ddp-views", "ddp-accumulated", "shards",
)  # fmt: skip
TOLD = {
    "biased": ("agreement.ranks_weighed", 12, [1]),
    "left-out": ("agreement.ranks_weighed", 12, [0, 1]),
    "summed": ("agreement.gradient_not_divided", 12, [0, 1]),
    "other-start": ("agreement.replicas_differ", 0, [0, 1]),
}


def findings(folder, case):
    (folder / "train.py").write_text(SCRIPT)
    home = Home(folder)
    done = home.run("run", "--overhead-budget", "100", "--", sys.executable, str(folder / "train.py"), case, cwd=folder)
    assert done.returncode == 0, done.stderr
    return home.json("findings", "last")["items"]


@pytest.mark.parametrize("case", HONEST)
def test_honest_exchanges_are_nothing_to_speak_of(tmp_path, case):
    found = findings(tmp_path, case)
    assert [each for each in found if each["severity"] != "info"] == []
    told = [each["code"] for each in found if each["code"].startswith("agreement.")]
    # Whoever weighs by samples that came from no DataLoader looks like a rank that counts otherwise now and then.
    assert told == (["agreement.ranks_weighed"] if case == "by-samples" else [])


@pytest.mark.parametrize("case", TOLD)
def test_an_exchange_that_is_changed_is_told_at_its_first_step(tmp_path, case):
    found = [each for each in findings(tmp_path, case) if each["severity"] != "info"]
    assert [(each["code"], each["first_step"], each["ranks"]) for each in found] == [TOLD[case]]
    assert {each["alleges"] for each in found} == {"unknown"}
