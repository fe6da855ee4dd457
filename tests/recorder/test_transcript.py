"""Every operation of one Step is written down where an audit asks for it, and training is as it would be."""

from __future__ import annotations

import hashlib

import pytest

from recorder.listener import environment, kinds, run
from saksi.judgement.replay.transcript import UNKNOWN, parse_transcript
from torch_loaded import LOADED

pytestmark = pytest.mark.training

LOOP = (
    LOADED
    + """
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
)


def done(agent, tmp_path, *, step=2, rank=0, before="", inside="", level="standard"):
    """The transcript, if there is one, what the program said, and its frames."""
    path = tmp_path / "transcript"
    asked = {} if step is None else {"SAKSI_TRANSCRIPT": f"{rank}:{step}:{path}"}
    known = len(agent.connections)
    script = LOOP.format(before=before, inside=inside)
    said = run(script, environment(tmp_path / "s", SAKSI_LEVEL=level, **asked)).stdout
    agent.drain(known + 1)
    transcript = parse_transcript(path.read_bytes()) if path.exists() else None
    path.unlink(missing_ok=True)
    return transcript, said, agent.frames(known)


@pytest.mark.parametrize("level", ["standard", "full"])
def test_a_step_that_is_written_down_trains_bit_for_bit_as_any_other_and_is_recorded_so(agent, tmp_path, level):
    transcript, said, frames = done(agent, tmp_path, level=level)
    _, plain, plainly = done(agent, tmp_path, step=None, level=level)
    assert transcript.stopped is None
    assert said == plain
    assert not kinds(frames, "Fault")
    assert [each.inventory for each in kinds(frames, "Update")] == [each.inventory for each in kinds(plainly, "Update")]
    assert [each.root for each in kinds(frames, "Root")] == [each.root for each in kinds(plainly, "Root")]


def test_operations_have_their_values_their_module_and_the_functions_on_the_stack(agent, tmp_path):
    transcript, *_ = done(agent, tmp_path)
    by_name = {each.op: each for each in transcript.operations}
    forward = by_name["aten::addmm"]
    assert [each[0] for each in forward.ins] == ["3.bias", "", "3.weight"]
    assert forward.module == "3"
    assert transcript.functions[forward.stack[-1][0]].name == "<module>"
    assert {"Linear.forward"} <= {transcript.functions[number].name for number, _ in forward.stack}
    assert by_name["aten::bernoulli_.float"].args[0] == "p=0.9"
    assert by_name["aten::bernoulli_.float"].args[1].startswith("generator=")
    assert by_name["aten::threshold_backward"].module == "backward of ReluBackward0"
    update = by_name["aten::addcdiv_"]
    assert "torch/optim/adam.py" in {transcript.functions[number].within for number, _ in update.stack}
    assert update.outs[0][0] == "3.bias"
    assert not any(each.op.startswith("profiler::") for each in transcript.operations)
    assert not any("saksi_recorder" in each.file for each in transcript.functions)


def test_two_transcripts_of_one_step_are_equal_and_of_two_steps_are_not(agent, tmp_path):
    one, again, other = (done(agent, tmp_path, step=step)[0] for step in (2, 2, 3))
    assert one == again
    assert one.operations != other.operations
    assert [each.op for each in one.operations] == [each.op for each in other.operations]


def test_the_first_step_is_written_down_from_the_import_on(agent, tmp_path):
    transcript, *_ = done(agent, tmp_path, step=0)
    assert transcript.stopped is None
    assert {"aten::uniform_", "aten::randn", "aten::addmm"} <= {each.op for each in transcript.operations}


def test_memory_that_nothing_has_filled_has_no_digest(agent, tmp_path):
    transcript, *_ = done(agent, tmp_path, inside="held = torch.empty(3); held.fill_(1.0); held.add_(1.0); ")
    empty = next(
        each for each in transcript.operations if each.op == "aten::empty.memory_format" and "[3]" in each.outs[0][1]
    )
    filled, added = (
        next(each for each in transcript.operations if each.op == op)
        for op in ("aten::fill_.Scalar", "aten::add_.Tensor")
    )
    assert (empty.outs[0][2], filled.ins[0][2]) == (UNKNOWN, UNKNOWN)
    assert filled.outs[0][2] == added.ins[0][2] != UNKNOWN
    assert hashlib.blake2b(b"\0\0\x80\x3f" * 3, digest_size=16).hexdigest() == added.ins[0][2]


def test_another_rank_is_not_written_down(agent, tmp_path):
    transcript, *_ = done(agent, tmp_path, rank=1)
    assert transcript is None


def test_a_program_with_a_mode_of_its_own_in_force_is_left_alone(agent, tmp_path):
    before = "from torch.utils.flop_counter import FlopCounterMode; FlopCounterMode(display=False).__enter__()"
    transcript, said, _ = done(agent, tmp_path, before=before)
    assert transcript.stopped == "a mode of the program was in force as the step began"
    assert said == done(agent, tmp_path, before=before, step=None)[1]


CHILDREN = {
    "fork": "list(torch.utils.data.DataLoader(list(range(8)), num_workers=2))",
    "subprocess": "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import torch; torch.ones(3) + 1'])",
    "trains": "import os; pid = os.fork() or (work(), os._exit(0)); os.waitpid(pid, 0)",
}
WORK = """
def work():
    other = torch.nn.Linear(2, 1)
    optimizer = torch.optim.SGD(other.parameters(), lr=0.1)
    for _ in range(4):
        other(torch.ones(1, 2)).sum().backward()
        optimizer.step()
"""


@pytest.mark.parametrize("step", [0, 2])
@pytest.mark.parametrize("child", CHILDREN)
def test_a_child_that_is_started_meanwhile_writes_nothing_into_it(agent, tmp_path, child, step):
    path = tmp_path / "transcript"
    script = LOOP.format(before=WORK, inside=f"step == {step} and exec({CHILDREN[child]!r}); ")
    run(script, environment(tmp_path / "s", SAKSI_TRANSCRIPT=f"0:{step}:{path}"))
    transcript = parse_transcript(path.read_bytes())
    assert transcript.stopped is None
    assert [each.op for each in transcript.operations].count("aten::addmm") == 2


def test_it_can_be_read_by_its_account_alone_whatever_the_umask(agent, tmp_path):
    path = tmp_path / "transcript"
    script = LOOP.format(before="import os; os.umask(0o002)", inside="")
    run(script, environment(tmp_path / "s", SAKSI_TRANSCRIPT=f"0:2:{path}"))
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.glob("transcript*")) == [path]


def test_an_operation_that_cannot_be_described_ends_the_transcript_with_that(agent, tmp_path):
    nested = "step == 2 and torch.nested.nested_tensor([torch.ones(2), torch.ones(3)]).clone(); "
    transcript, said, _ = done(agent, tmp_path, inside=nested)
    assert transcript.stopped.startswith("it could not be written down: ")
    assert said == done(agent, tmp_path, inside=nested, step=None)[1]


def test_a_step_that_a_scaler_leaves_out_is_one_all_the_same(agent, tmp_path):
    before = "scaler = torch.amp.GradScaler('cpu')"
    script = LOOP.format(before=before, inside="").replace(
        "cross_entropy(model(inputs), wanted).backward()",
        "cross_entropy(model(inputs * (float('inf') if step == 2 else 1)), wanted).backward()",
    )
    script = script.replace("torch.nn.functional.cross_entropy(", "scaler.scale(torch.nn.functional.cross_entropy(")
    script = script.replace(", wanted).backward()", ", wanted)).backward()")
    script = script.replace("    optimizer.step()", "    scaler.step(optimizer); scaler.update()")
    path = tmp_path / "transcript"
    run(script, environment(tmp_path / "s", SAKSI_TRANSCRIPT=f"0:2:{path}"))
    transcript = parse_transcript(path.read_bytes())
    assert transcript.stopped is None
    assert "aten::addcdiv_" not in {each.op for each in transcript.operations}


def test_what_cannot_be_written_costs_the_transcript_and_not_the_training(agent, tmp_path):
    script = LOOP.format(before="", inside="")
    said = run(script, environment(tmp_path / "s", SAKSI_TRANSCRIPT=f"0:2:{tmp_path / 'nowhere' / 'transcript'}"))
    agent.drain(1)
    assert len(said.stdout.strip()) == 64
    assert [each.where for each in kinds(agent.frames(0), "Fault")] == ["transcript"]
