from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from warm import Warm

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = ["examples/gpt/train.py", "examples/digits/train.py"]
GPT = "examples/gpt/train.py"
DIGITS = "examples/digits/train.py"
SMALL = ["--width", "32", "--layers", "2", "--batch", "8"]  # the same code on a model that trains in a second
EPOCH = 10  # steps in which the short text is read once


Train = Callable[..., str]


@pytest.fixture(scope="module")
def warm() -> Iterator[Warm]:
    """A process that has loaded what the examples import, and to which every warning is an error."""
    process = Warm(modules=("torch._dynamo", "sklearn.datasets"), options=("-W", "error"))
    yield process
    process.end()


@pytest.fixture
def train(warm: Warm) -> Train:
    """Run an example to its end: what it printed."""

    def trained(script: str, out: Path, *options: str) -> str:
        said = out.with_name(f"{out.name}.said")
        said.unlink(missing_ok=True)
        code = warm.run([str(ROOT / script), "--out", str(out), *options], said)
        errors = Path(f"{said}.err").read_text(encoding="utf-8")
        assert code == 0, errors
        assert errors == ""
        return said.read_text(encoding="utf-8")

    return trained


def load(path: Path) -> Any:
    return torch.load(path, weights_only=True)


def same(one: Any, other: Any) -> bool:
    """Equal to the last bit, whatever is shared inside a file."""
    if isinstance(one, torch.Tensor):
        return one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


@pytest.fixture
def text(tmp_path: Path) -> Path:
    """A text that is read more than twice in 24 steps of 8 windows of 48 characters."""
    path = tmp_path / "text.txt"
    path.write_text("".join(f"{n} squared is {n * n}, naïvely\n" for n in range(160)), encoding="utf-8")
    return path


@pytest.mark.parametrize("script", SCRIPTS)
def test_script_imports_nothing_of_saksi(script: str) -> None:
    tree = ast.parse((ROOT / script).read_text(encoding="utf-8"))
    imports = [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
    imports += [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    assert imports
    assert not [name for name in imports if name.split(".")[0] == "saksi"]
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.Name) and node.id in {"exec", "__import__"}]


@pytest.mark.training
@pytest.mark.timeout(300)
def test_gpt_at_its_default_size_learns_and_continues_bit_for_bit(train: Train, tmp_path: Path) -> None:
    whole, rest = tmp_path / "whole", tmp_path / "rest"
    printed = train(GPT, whole)
    assert sorted(path.name for path in whole.iterdir()) == [
        "ckpt-000020.pt",
        "ckpt-000040.pt",
        "ckpt-000060.pt",
        "final.pt",
    ]
    losses = [float(line.split()[4]) for line in printed.splitlines() if "held-out" in line]
    assert len(losses) == 3
    assert losses[0] > losses[1] > losses[2]
    train(GPT, rest, "--resume", str(whole / "ckpt-000040.pt"))
    assert (rest / "final.pt").read_bytes() == (whole / "final.pt").read_bytes()
    assert same(load(rest / "ckpt-000060.pt"), load(whole / "ckpt-000060.pt"))


@pytest.mark.training
def test_gpt_gives_the_same_weights_for_the_same_seed_and_others_for_another(
    train: Train, tmp_path: Path, text: Path
) -> None:
    common = ["--data", str(text), *SMALL, "--steps", "6"]
    for name, seed in [("first", "1"), ("second", "1"), ("other", "2")]:
        train(GPT, tmp_path / name, *common, "--seed", seed)
    first, second, other = ((tmp_path / name / "final.pt").read_bytes() for name in ("first", "second", "other"))
    assert first == second
    assert first != other


@pytest.mark.training
@pytest.mark.timeout(300)
def test_gpt_stopped_inside_or_at_the_end_of_an_epoch_resumes_exactly(train: Train, tmp_path: Path, text: Path) -> None:
    common = ["--data", str(text), *SMALL, "--steps", "24", "--length", "48", "--save-every", "7", "--eval-every", "3"]
    whole = tmp_path / "whole"
    train(GPT, whole, *common)
    for stop, position in [(EPOCH - 1, EPOCH - 1), (EPOCH, EPOCH), (EPOCH + 1, 1)]:
        parts = tmp_path / str(stop)
        train(GPT, parts, *common, "--stop-at", str(stop))
        assert not (parts / "final.pt").exists()
        ckpt = parts / f"ckpt-{stop:06}.pt"
        assert load(ckpt)["batches"]["taken"] == position
        train(GPT, parts, *common, "--resume", str(ckpt))
        assert (parts / "final.pt").read_bytes() == (whole / "final.pt").read_bytes()


@pytest.mark.training
def test_gpt_refuses_a_text_that_is_too_short(tmp_path: Path) -> None:
    short = tmp_path / "short.txt"
    short.write_text("too short", encoding="utf-8")
    command = [sys.executable, ROOT / GPT, "--data", short, "--out", tmp_path / "out"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "too few" in done.stderr


@pytest.mark.training
@pytest.mark.parametrize(("optimizer", "kernel"), [("sgd", "single"), ("adam", "foreach"), ("adamw", "fused")])
def test_digits_learns_and_gives_the_same_weights_twice(
    train: Train, tmp_path: Path, optimizer: str, kernel: str
) -> None:
    options = ["--optimizer", optimizer, "--kernel", kernel]
    printed = train(DIGITS, tmp_path / "first", *options)
    assert float(printed.splitlines()[-2].split("accuracy")[1].split()[0]) > 0.85
    train(DIGITS, tmp_path / "second", *options)
    assert (tmp_path / "first/final.pt").read_bytes() == (tmp_path / "second/final.pt").read_bytes()


@pytest.mark.training
def test_digits_worker_processes_and_early_end_do_not_change_the_order(train: Train, tmp_path: Path) -> None:
    train(DIGITS, tmp_path / "here", "--steps", "30")
    train(DIGITS, tmp_path / "workers", "--steps", "30", "--workers", "2")
    assert (tmp_path / "here/final.pt").read_bytes() == (tmp_path / "workers/final.pt").read_bytes()
