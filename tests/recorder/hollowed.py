"""Runs a script plainly, with capsules, and then hollow from one of them: what each left behind each of its Steps."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import msgspec

from recorder.listener import Listener, environment, kinds, run

FIRST_LINES = r"""
import hashlib, json, os, random, sys, torch
from torch import nn
from torch.nn import functional as F
torch.set_num_threads(1)
torch.manual_seed(0); random.seed(1)
recorder = sys.modules["saksi_recorder"]
from saksi_recorder import generator_states, memory, state, session

def digest():
    # What a root covers, hyper-parameters, and generators, by another way than that of roots.
    whole = hashlib.sha256()
    with memory.quiet():
        for key, alias, value in state.listed():
            whole.update(repr((key, alias)).encode())
            if isinstance(value, torch.Tensor):
                whole.update(repr((value.dtype, value.shape)).encode())
                whole.update(value.detach().contiguous().flatten().view(torch.uint8).numpy().tobytes())
            else:
                whole.update(repr(value).encode())
        whole.update(json.dumps(generator_states.of_all(), sort_keys=True).encode())
    return whole.hexdigest()

SAID = open(os.environ["SAID"], "w")
def behind(step, loss, *optimizers):
    groups = [{k: v for k, v in g.items() if k != "params"} for o in optimizers for g in o.param_groups]
    print(json.dumps([step, float(torch.as_tensor(loss).detach()), digest(), repr(groups)]), file=SAID, flush=True)
"""


def plain(folder: Path, script: str, every: int = 1):
    """The lines that a script said of its Steps, and the frames of its updates; capsules are in `folder`/capsules."""
    lines, frames, _ = _started(folder, "plain", script, SAKSI_CAPSULES=f"every={every}:{folder / 'capsules'}")
    return lines, kinds(frames[0], "Update")


def ask(folder: Path, updates, step: int, **fields) -> Path:
    """A folder that asks for what begins behind a Step."""
    asked = folder / f"asked-{step}-{len(list(folder.iterdir()))}"
    asked.mkdir()
    (found,) = (folder / "capsules").glob(f"0-{step:012d}-*.safetensors")
    (asked / "0.safetensors").write_bytes(found.read_bytes())
    last = next(at for at, one in enumerate(updates) if (one.optimizer, one.update) == (0, step))
    made = [[*_served(one), one.skipped, _of_generators(one.rng)] for one in updates[: last + 1]]
    order = {"version": 1, "forward": False, "made": made, "generators": updates[last].rng}
    (asked / "0.json").write_text(json.dumps({**order, **fields}))
    return asked


def _served(update):
    return update.optimizer, update.loss, None if update.gradient_norm is None else update.gradient_norm.value


def _of_generators(rng):
    return ",".join(rng.get(name, "")[:32] for name in ("python", "numpy", "torch"))


def hollow(folder: Path, script: str, asked: Path, *, check: bool = True):
    """As `plain`: the lines that were said behind the capsule and since, and all frames by connection; and the end."""
    return _started(folder, "hollow", script, check=check, SAKSI_HOLLOW=str(asked))


def _started(folder: Path, name: str, script: str, *, check: bool = True, **variables: str):
    said, path = folder / f"{name}.said", folder / "s"
    path.unlink(missing_ok=True)
    said.write_text("")
    with Listener(path) as listener:
        done = run(
            FIRST_LINES + script,
            environment(path, SAID=str(said), PYTHONWARNINGS="ignore", **variables),
            cwd=folder,
            check=check,
        )
        (folder / f"{name}.out").write_text(done.stdout)
        if done.returncode == 0:
            listener.drain()
            frames = [listener.frames(number) for number in range(len(listener.connections))]
        else:
            frames = []
    return [json.loads(line) for line in said.read_text().splitlines()], frames, done


def assert_goes_on_exactly(folder: Path, script: str, *steps: int, every: int = 1, **fields) -> None:
    """Behind each of these Steps, put in, everything is as it was in the run, to the last bit."""
    lines, updates = plain(folder, script, every)
    wanted = {line[0]: line for line in lines}
    assert len(wanted) == len(lines) > max(steps) + 1
    for step in steps:
        found, frames, done = hollow(folder, script, ask(folder, updates, step, **fields))
        assert "saksi" not in done.stderr, done.stderr
        later = [line for line in found if line[0] > step]
        assert later == [line for line in lines if line[0] > step]
        first, *connections = frames
        assert not {type(frame).__name__ for frame in first} & {"UpdateFrame", "RootFrame", "LiveFrame", "EpochFrame"}
        recorded = [frame for frames in connections for frame in frames]
        assert_records_the_same(recorded, updates, step)


def assert_records_the_same(recorded, updates, step: int) -> None:
    at = next(at for at, one in enumerate(updates) if (one.optimizer, one.update) == (0, step)) + 1
    rest = updates[at:]
    made = kinds(recorded, "Update")
    assert len(made) == len(rest)
    for one, other in zip(made, rest, strict=True):
        for name in ("optimizer", "loss", "losses", "skipped", "gradient_norm", "groups", "rng", "batches"):
            assert _told(one, name) == _told(other, name), (other.update, name)
    assert made[0].update == 0
    assert len(kinds(recorded, "Hello")) == 1
    assert [one.at for one in kinds(recorded, "Root")][:2] == ["resumed", "attach"]
    assert not kinds(recorded, "Fault")


def _told(update, name):
    value = getattr(update, name)
    if name != "batches":
        return value
    return [{**msgspec.structs.asdict(one), "rows": sorted(one.rows or ())} for one in value]  # drawn in any order


def refused(folder: Path, script: str, asked: Path) -> str:
    """The reason in the one line that a process ended itself with."""
    _, _, done = hollow(folder, script, asked, check=False)
    assert isinstance(done, subprocess.CompletedProcess)
    assert done.returncode == 97, done.stderr
    (line,) = done.stderr.splitlines()
    begin, middle, reason = line.partition("saksi: hollow: ")
    assert (begin, middle) == ("", "saksi: hollow: ")
    return reason
