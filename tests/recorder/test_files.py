"""What torch.save writes is the same to the last byte, to paths and to streams of every kind."""

# ruff: noqa: E501  (scripts that run elsewhere are quoted as they are)

from __future__ import annotations

import json

import pytest

from recorder.listener import environment, kinds, run
from torch_loaded import LOADED

pytestmark = pytest.mark.training

SCRIPT = (
    LOADED
    + r"""
import hashlib, io, json, os, pathlib, tempfile, gzip
import torch
torch.manual_seed(0)
model = torch.nn.Linear(64, 64)
folder = pathlib.Path(os.environ["FOLDER"])
out, errors = {}, []
def digest(path):
    return hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest()
torch.save(model.state_dict(), folder / "path.pt"); out["path"] = digest(folder / "path.pt")
torch.save(model.state_dict(), str(folder / "text.bin")); out["text"] = digest(folder / "text.bin")
os.chdir(folder); torch.save(f="relative.pt", obj=model.state_dict()); out["relative"] = digest("relative.pt")
torch.save(model.state_dict(), "nämlich.pt"); out["not ascii"] = digest("nämlich.pt")
with open("stream.pt", "wb") as stream: torch.save(model.state_dict(), stream)
out["stream"] = digest("stream.pt")
with open("keyword.pt", "wb") as stream: torch.save(model.state_dict(), f=stream)
out["keyword"] = digest("keyword.pt")
buffer = io.BytesIO(b"before"); buffer.seek(6); torch.save(model.state_dict(), buffer)
out["buffer"] = hashlib.sha256(buffer.getvalue()).hexdigest()
with gzip.GzipFile("z.gz", "wb", mtime=0) as stream: torch.save(model.state_dict(), stream)
out["gzip"] = hashlib.sha256(gzip.open("z.gz").read()).hexdigest()
with open("old.pt", "wb") as stream: torch.save(model.state_dict(), stream, _use_new_zipfile_serialization=False)
out["old"] = str(torch.load("old.pt")["weight"].sum())
class OnlyWrite:
    def __init__(self): self.pieces = []
    def write(self, piece): self.pieces.append(bytes(piece)); return len(piece)
    def flush(self): pass
only = OnlyWrite(); torch.save(model.state_dict(), only); out["only write"] = hashlib.sha256(b"".join(only.pieces)).hexdigest()
class Full(io.BytesIO):
    def write(self, piece): raise OSError(28, "No space left on device")
class NoStream: pass
for target in (Full(), NoStream(), "/nowhere/at/all.pt"):
    try: torch.save(model.state_dict(), target)
    except Exception as error: errors.append([type(error).__name__, str(error).split("0x")[0]])
try: torch.load("/nowhere/at/all.pt")
except Exception as error: errors.append([type(error).__name__, str(error)])
out["errors"] = errors
print(json.dumps(out))
"""
)


def test_bytes_and_errors_are_the_same_and_streams_are_digested(agent, tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    plain = json.loads(run(SCRIPT, environment(None, PYTHONPATH="", FOLDER=str(tmp_path / "a"))).stdout)
    said = json.loads(run(SCRIPT, environment(tmp_path / "s", FOLDER=str(tmp_path / "b"))).stdout)
    assert said == plain
    agent.drain()
    frames = agent.frames()
    assert not kinds(frames, "Fault")
    saved = [frame for frame in kinds(frames, "Ckpt") if frame.action == "saved"]
    paths = [frame.path and frame.path.rpartition("/")[2] for frame in saved]
    assert paths[:4] == ["path.pt", "text.bin", "relative.pt", "nämlich.pt"]
    assert all(frame.size for frame in saved[:4])
    for frame, name in zip(saved[:4], ("path", "text", "relative", "not ascii"), strict=True):
        assert name == "not ascii" or frame.digest == f"sha256:{said[name]}"
        assert frame.digest is not None  # read back: nobody can have changed it yet
    digests = {frame.digest for frame in saved}
    for name in ("stream", "keyword", "gzip", "only write"):
        assert f"sha256:{said[name]}" in digests
    assert paths[4:6] == ["stream.pt", "keyword.pt"]


HELD = (
    LOADED
    + r"""
import io, os, torch
torch.manual_seed(0)
model = torch.nn.Linear(4, 4)
optimizer = torch.optim.Adam(model.parameters())
model(torch.ones(2, 4)).sum().backward(); optimizer.step()
whole = {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
os.chdir(os.environ["FOLDER"])
torch.save(whole, "whole.pt")
torch.save(model.state_dict(), "weights.pt")
torch.save([{"deep": whole["optimizer"]}], "state.pt")
torch.save({name: each.clone() for name, each in model.state_dict().items()}, "copies.pt")
torch.save({"loss": 1.0}, "numbers.pt")
torch.save(model, "module.pt")
with open("stream.pt", "wb") as stream: torch.save(whole, f=stream)
"""
)


def test_what_of_parameters_and_state_is_in_a_file_is_known_by_their_memory(agent, tmp_path):
    run(HELD, environment(tmp_path / "s", FOLDER=str(tmp_path)))
    agent.drain()
    frames = agent.frames()
    assert not kinds(frames, "Fault")
    held = {
        frame.path.rpartition("/")[2]: None if frame.holds is None else (frame.holds.parameters, frame.holds.state)
        for frame in kinds(frames, "Ckpt")
    }
    assert held == {
        "whole.pt": (2, 6), "weights.pt": (2, 0), "state.pt": (0, 6), "copies.pt": (0, 0), "numbers.pt": None,
        "module.pt": (2, 0), "stream.pt": (2, 6),
    }  # fmt: skip
    assert {(one.holds.of_parameters, one.holds.of_state) for one in kinds(frames, "Ckpt") if one.holds} == {(2, 6)}


LARGE = r"""
import os, torch, saksi_recorder.read_back as read_back
read_back.MAX_BYTES = 4000
os.chdir(os.environ["FOLDER"])
torch.save(torch.zeros(10), "small.pt")
torch.save(torch.zeros(1000), "large.pt")
read_back._spent_ns[0] = 10**12
torch.save(torch.zeros(10), "later.pt")
"""


def test_a_large_file_is_left_to_the_agent_and_so_is_one_that_comes_too_soon(agent, tmp_path):
    run(LARGE, environment(tmp_path / "s", FOLDER=str(tmp_path)))
    agent.drain()
    frames = agent.frames()
    assert not kinds(frames, "Fault")
    read = {frame.path.rpartition("/")[2]: frame.digest is not None for frame in kinds(frames, "Ckpt")}
    assert read == {"small.pt": True, "large.pt": False, "later.pt": False}


UNREAD = (
    LOADED
    + r"""
import contextlib, json, os, pathlib
import torch
errors = []
os.chdir(os.environ["FOLDER"])
torch.save({"a": torch.ones(64)}, "cut.pt")
os.truncate("cut.pt", 100)
pathlib.Path("cut.safetensors").write_bytes(b"\x08\x00\x00\x00")
import safetensors.torch
class Own: pass
torch.save(Own(), "own.pt")
def fails(load, *given, **more):
    try: load(*given, **more)
    except Exception as error: errors.append(type(error).__name__)
fails(torch.load, "cut.pt")
fails(torch.load, f=pathlib.Path("own.pt"))
fails(torch.load, "absent.pt")
fails(torch.load, ".")
fails(torch.load, None)
fails(torch.load)
with open("cut.pt", "rb") as stream: fails(torch.load, stream)
fails(safetensors.torch.load_file, "cut.safetensors")
fails(safetensors.torch.load_file, filename="absent.safetensors")
fails(safetensors.torch.load_model, torch.nn.Linear(1, 1), "cut.safetensors")
safetensors.torch.save_file({"weight": torch.ones(1, 1), "more": torch.ones(1)}, "more.safetensors")
fails(safetensors.torch.load_model, torch.nn.Linear(1, 1, bias=False), "more.safetensors")
class Odd:
    def __fspath__(self): raise LookupError("not here")
fails(torch.load, Odd())
for _ in range(3): fails(torch.load, "cut.pt")
fails(torch.save, lambda: None, "never.pt")
torch.load("own.pt", weights_only=False)
class Slow:
    def __fspath__(self): raise KeyboardInterrupt
with contextlib.suppress(KeyboardInterrupt): torch.load(Slow())
print(json.dumps(errors))
"""
)


def test_a_file_that_cannot_be_loaded_is_said_and_what_is_raised_is_the_same(agent, tmp_path):
    pytest.importorskip("safetensors")
    for name in "ab":
        (tmp_path / name).mkdir()
    plain = run(UNREAD, environment(None, PYTHONPATH="", FOLDER=str(tmp_path / "a"))).stdout
    assert run(UNREAD, environment(tmp_path / "s", FOLDER=str(tmp_path / "b"))).stdout == plain
    assert len(json.loads(plain)) == 16
    agent.drain()
    frames = agent.frames()
    assert not kinds(frames, "Fault")
    said = [(each.action, each.path.rpartition("/")[2]) for each in kinds(frames, "Ckpt") if each.action != "saved"]
    unread = [("unread", name) for name in ("cut.pt", "own.pt", "cut.safetensors")]
    assert said == [*unread, ("loaded", "more.safetensors"), ("loaded", "own.pt")]
    assert [each.what for each in kinds(frames, "Uncovered")] == ["model checkpoints that were not saved"]
