"""`saksi audit` of a part of a run with other threads than it had: single steps, up to what rounding does."""

from __future__ import annotations

import pytest

from confining import not_allowed
from end_to_end.test_audit import Project
from torch_loaded import LOADED

pytestmark = [pytest.mark.training, pytest.mark.timeout(600)]

SCRIPT = (
    LOADED
    + """
import sys, torch
if torch.get_num_threads() < 2 and "--resume" not in sys.argv:
    torch.set_num_threads(2)
torch.manual_seed(0)
model = torch.nn.Sequential(
    torch.nn.Embedding(64, 128), torch.nn.Linear(128, 256), torch.nn.GELU(), torch.nn.LayerNorm(256),
    torch.nn.Dropout(0.1), torch.nn.Linear(256, 64),
)
tokens = torch.randint(64, (4096,))
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
begin = 0
if "--resume" in sys.argv:
    kept = torch.load(sys.argv[-1])
    model.load_state_dict(kept["model"])
    optimizer.load_state_dict(kept["optimizer"])
    begin = kept["step"]
    torch.set_rng_state(kept["random"])
for step in range(begin, 8):
    chosen = torch.randint(4095, (256,))
    optimizer.zero_grad()
    torch.nn.functional.cross_entropy(model(tokens[chosen]), tokens[chosen + 1]).backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    if step % 4 == 3:
        state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "step": step + 1}
        torch.save({**state, "random": torch.get_rng_state()}, f"ckpt-{step + 1}.pt")
"""
)
OPTIONS = ("--threads", "1", "--resume-with", "--resume {ckpt}")


def test_an_honest_step_is_as_near_as_rounding_and_one_changed_label_would_not_be(tmp_path):
    project = Project(tmp_path, SCRIPT, "")
    project.call("run", "--name", "honest", "--seal", str(project.seal), "--", *project.command())
    found = project.audit("honest", "--steps", "4:7", *OPTIONS, code=0)
    if any("namespaces" in each for each in found["reasons"]):
        not_allowed(str(found["reasons"]))
    assert (found["verdict"], found["tier"], found["environment"]["verified"]) == ("match", "split", True)
    assert (found["steps"]["replayed"], found["steps"]["match"], found["replays"]) == (1, 1, 5)
    (line,) = found["sampled"]["stretches"]
    assert (line["means"], line["equal"], line["split"]["step"]) == ("resume", False, 4)
    assert line["reason"] == "resumed there it is another: step 4 of rank 0: torch has another number of threads"
    assert 0.0 < line["split"]["slack"] < 1.0
    assert line["split"]["planted"] > 1000.0
    assert line["split"]["noise"] < 1e-5
