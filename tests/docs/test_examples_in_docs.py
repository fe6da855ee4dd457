"""The commands in pages with a script are run, in order, and print what the page says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from edges.environment.environments import SGD, Environment, without_stdlib
from saksi.doors.main import main
from saksi_run import Home

ROOT = Path(__file__).resolve().parents[2]


def blocks(page, language):
    return re.findall(rf"^```{language}\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)


def commands(page):
    """(command, expected output, expected exit code), in the page's order."""
    for block in blocks(page, "console"):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, output = part.partition("\n")
            code = re.search(r"^\(exit code (\d+)\)\n", output, re.MULTILINE)
            if code is not None:
                output = output.replace(code[0], "")
            yield command, output, 0 if code is None else int(code[1])


def says(expected, printed):
    """Whether `printed` is `expected`, an ellipsis standing for any text."""
    pattern = ".*?".join(re.escape(part) for part in expected.strip().split("…"))
    return re.fullmatch(pattern, printed.strip(), re.DOTALL) is not None


@pytest.mark.training
@pytest.mark.timeout(400)
@pytest.mark.parametrize(
    ("name", "total"), [("getting-started", 10), ("attempts", 7), ("approval", 13), ("findings", 10), ("doctor", 1)]
)
def test_a_page_does_what_it_says(tmp_path, name, total):
    page = (ROOT / f"docs/{name}.md").read_text()
    home = Home(tmp_path)
    (script,) = blocks(page, "python")
    (tmp_path / "train.py").write_text(script)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**home.environment, "PATH": path, "COLUMNS": "120"}
    count = 0
    for command, output, code in commands(page):
        done = subprocess.run(
            command, shell=True, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == code, f"{command}\n{done.stdout}{done.stderr}"
        assert says(output, done.stdout + done.stderr), f"{command}\n{done.stdout}{done.stderr}"
        count += 1
    assert count == total


@pytest.mark.parametrize(("name", "total"), [("environment-doors", 7)])
def test_a_page_about_environments_does_what_it_says(tmp_path, name, total):
    """As above, without a training script."""
    page = (ROOT / f"docs/{name}.md").read_text()
    path = f"{Path(sys.executable).parent}{os.pathsep}/usr/bin{os.pathsep}/bin"
    environment = {"PATH": path, "HOME": str(tmp_path), "LC_ALL": "C.UTF-8", "COLUMNS": "240"}
    done = [
        (command, output, code, subprocess.run(
            command, shell=True, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        ))
        for command, output, code in commands(page)
    ]  # fmt: skip
    for command, output, code, result in done:
        printed = result.stdout + result.stderr
        assert result.returncode == code, f"{command}\n{printed}"
        assert says(output, printed), f"{command}\n{printed}"
    assert len(done) == total


def test_the_page_about_environments_does_what_it_says(tmp_path, monkeypatch, capsys):
    without_stdlib(monkeypatch)
    page = (ROOT / "docs/environment.md").read_text()
    (script,) = blocks(page, "python")
    (tmp_path / "forge.py").write_text(script)
    Environment(tmp_path / ".venv").install(files={"toytorch/__init__.py": "", "toytorch/sgd.py": SGD})
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("PYTHONPATH", raising=False)
    count = 0
    for command, output, code in commands(page):
        if command.startswith("saksi "):  # in this process, where the standard library is left out
            ended = main(command.split()[1:])
        else:
            ended = subprocess.run(command, shell=True, cwd=tmp_path, check=False).returncode
        printed = capsys.readouterr()
        assert ended == code, f"{command}\n{printed.out}{printed.err}"
        assert says(output, printed.out + printed.err), f"{command}\n{printed.out}{printed.err}"
        count += 1
    assert count == 6


def test_links_between_pages_lead_somewhere():
    for page in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("spec/*.md")]:
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text()):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name} links to {target}"
