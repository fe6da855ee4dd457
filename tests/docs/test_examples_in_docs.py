"""The commands in pages with a script are run, in order, and print what the page says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

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
@pytest.mark.parametrize(("name", "total"), [("getting-started", 10), ("attempts", 7), ("approval", 11)])
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


def test_links_between_pages_lead_somewhere():
    for page in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("spec/*.md")]:
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text()):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name} links to {target}"
