"""Every operation of one Step is written down where an audit asks for it, and training is as it would be."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from recorder.listener import environment, kinds, run
from saksi.judgement.replay.trace import UNKNOWN, parse_trace

pytestmark = pytest.mark.training

LOOP = """
import torch
torch.manual_seed(0)
torch.set_num_threads(1)
{before}
model = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.ReLU(), torch.nn.Dropout(0.1), torch.nn.Linear(16, 2))
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
inputs, wanted = torch.randn(64, 8), torch.zeros(64, dtype=torch.long)
for step in range(4):
    optimizer.zero_grad()
    {inside}torch.nn.functional.cross_entropy(model(inputs), wanted).backward()
    optimizer.step()
import hashlib
print(hashlib.sha256(b"".join(p.detach().numpy().tobytes() for p in model.parameters())).hexdigest())
"""


def done(agent, tmp_path, *, step=2, rank=0, before="", inside="", level="standard"):
    """The trace, if there is one, what the program said, and its frames."""
    path = tmp_path / "trace"
    asked = {} if step is None else {"SAKSI_TRACE": f"{rank}:{step}:{path}"}
    known = len(agent.connections)
    script = LOOP.format(before=before, inside=inside)
    said = run(script, environment(tmp_path / "s", SAKSI_LEVEL=level, **asked)).stdout
    agent.drain(known + 1)
    trace = parse_trace(path.read_bytes()) if path.exists() else None
    path.unlink(missing_ok=True)
    return trace, said, agent.frames(known)


@pytest.mark.parametrize("level", ["standard", "full"])
def test_a_traced_step_trains_bit_for_bit_as_any_other_and_is_recorded_so(agent, tmp_path, level):
    trace, said, frames = done(agent, tmp_path, level=level)
    _, plain, untraced = done(agent, tmp_path, step=None, level=level)
    assert trace.stopped is None
    assert said == plain
    assert not kinds(frames, "Fault")
    assert [each.inventory for each in kinds(frames, "Update")] == [
        each.inventory for each in kinds(untraced, "Update")
    ]
    assert [each.root for each in kinds(frames, "Root")] == [each.root for each in kinds(untraced, "Root")]


def test_operations_have_their_values_their_module_and_the_functions_on_the_stack(agent, tmp_path):
    trace, *_ = done(agent, tmp_path)
    by_name = {each.op: each for each in trace.operations}
    forward = by_name["aten::addmm"]
    assert [each[0] for each in forward.ins] == ["3.bias", "", "3.weight"]
    assert forward.module == "3"
    assert trace.functions[forward.stack[-1][0]].name == "<module>"
    assert {"Linear.forward"} <= {trace.functions[number].name for number, _ in forward.stack}
    assert by_name["aten::bernoulli_.float"].args[0] == "p=0.9"
    assert by_name["aten::bernoulli_.float"].args[1].startswith("generator=")
    assert by_name["aten::threshold_backward"].module == "backward of ReluBackward0"
    update = by_name["aten::addcdiv_"]
    assert "torch/optim/adam.py" in {trace.functions[number].within for number, _ in update.stack}
    assert update.outs[0][0] == "3.bias"
    assert not any(each.op.startswith("profiler::") for each in trace.operations)
    assert not any("saksi_recorder" in each.file for each in trace.functions)


def test_two_traces_of_one_step_are_equal_and_of_two_steps_are_not(agent, tmp_path):
    one, again, other = (done(agent, tmp_path, step=step)[0] for step in (2, 2, 3))
    assert one == again
    assert one.operations != other.operations
    assert [each.op for each in one.operations] == [each.op for each in other.operations]


def test_the_first_step_is_traced_from_the_import_on(agent, tmp_path):
    trace, *_ = done(agent, tmp_path, step=0)
    assert trace.stopped is None
    assert {"aten::uniform_", "aten::randn", "aten::addmm"} <= {each.op for each in trace.operations}


def test_memory_that_nothing_has_filled_has_no_digest(agent, tmp_path):
    trace, *_ = done(agent, tmp_path, inside="held = torch.empty(3); held.fill_(1.0); held.add_(1.0); ")
    empty = next(
        each for each in trace.operations if each.op == "aten::empty.memory_format" and "[3]" in each.outs[0][1]
    )
    filled, added = (
        next(each for each in trace.operations if each.op == op) for op in ("aten::fill_.Scalar", "aten::add_.Tensor")
    )
    assert (empty.outs[0][2], filled.ins[0][2]) == (UNKNOWN, UNKNOWN)
    assert filled.outs[0][2] == added.ins[0][2] != UNKNOWN
    assert hashlib.blake2b(b"\0\0\x80\x3f" * 3, digest_size=16).hexdigest() == added.ins[0][2]


def test_another_rank_is_not_traced(agent, tmp_path):
    trace, *_ = done(agent, tmp_path, rank=1)
    assert trace is None


def test_a_program_with_a_mode_of_its_own_in_force_is_left_alone(agent, tmp_path):
    before = "from torch.utils.flop_counter import FlopCounterMode; FlopCounterMode(display=False).__enter__()"
    trace, said, _ = done(agent, tmp_path, before=before)
    assert trace.stopped == "a mode of the program was in force as the step began"
    assert said == done(agent, tmp_path, before=before, step=None)[1]


def test_what_cannot_be_written_costs_the_trace_and_not_the_training(agent, tmp_path):
    Path(tmp_path / "trace").mkdir()
    script = LOOP.format(before="", inside="")
    said = run(script, environment(tmp_path / "s", SAKSI_TRACE=f"0:2:{tmp_path / 'trace'}"))
    agent.drain(1)
    assert len(said.stdout.strip()) == 64
    assert [each.where for each in kinds(agent.frames(0), "Fault")] == ["tracing"]
