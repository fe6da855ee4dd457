"""The commands in the page about manifests are run where two small wheels and their lock lie."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

from docs.test_examples_in_docs import ROOT, commands, says
from saksi_run import Home
from wheels_by_hand import make_wheel


def test_the_page_does_what_it_says(tmp_path):
    page = (ROOT / "docs/environment-manifest.md").read_text()
    home = Home(tmp_path)
    wheels = [
        make_wheel(tmp_path / "wheels", "demo", entry_points="[console_scripts]\ndemo = demo:main\n"),
        make_wheel(tmp_path / "wheels", "other", "2.0"),
    ]
    rows = [f"{each.name.partition('-py3')[0].replace('-', '==')} --hash=sha256:{digest(each)}\n" for each in wheels]
    (tmp_path / "requirements.txt").write_text("".join(rows))
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    count = 0
    for command, output, code in commands(page):
        done = subprocess.run(
            command, shell=True, cwd=tmp_path, env={**home.environment, "PATH": path, "COLUMNS": "120"},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == code, f"{command}\n{done.stdout}{done.stderr}"
        assert says(output, done.stdout + done.stderr), f"{command}\n{done.stdout}{done.stderr}"
        count += 1
    assert count == 5


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()
