"""What the kernel holds a process to, as the recorder says it."""

from __future__ import annotations

import json
import os
import pty
import resource
import socket
import subprocess
import sys
from pathlib import Path

import pytest

import saksi

PATH = Path(saksi.__file__).parent / "recorder" / "path"
SAYS = """
import json, os
from saksi_recorder import conditions
found = json.dumps(conditions.conditions())
open(os.environ["TO"], "w").write(found)
"""


@pytest.fixture
def said(tmp_path):
    """What a process says whose standard error is this."""

    def of(stderr, before=None):
        environment = {**os.environ, "PYTHONPATH": str(PATH), "TO": str(tmp_path / "said")}
        subprocess.run([sys.executable, "-c", SAYS], stderr=stderr, env=environment, preexec_fn=before, check=True)
        return json.loads((tmp_path / "said").read_text())

    return of


def test_of_a_stream_its_kind_is_said_and_never_its_name(said, tmp_path):
    read, write = os.pipe()
    one, other = socket.socketpair()
    primary, secondary = pty.openpty()
    with (tmp_path / "a file of ours").open("wb") as file, one, other:
        kinds = {
            file: "a file", write: "a pipe", one: "a socket", secondary: "a device", subprocess.DEVNULL: "nowhere",
        }  # fmt: skip
        assert {stream: said(stream)["stream stderr"] for stream in kinds} == kinds
        assert "ours" not in json.dumps(said(file))
    for each in (read, write, primary, secondary):
        os.close(each)
    assert said(None, before=lambda: os.close(2))["stream stderr"] == "closed"


def test_soft_limits_are_numbers_or_none(said):
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]

    def lowered():
        resource.setrlimit(resource.RLIMIT_NOFILE, (77, hard))
        resource.setrlimit(resource.RLIMIT_CPU, (resource.RLIM_INFINITY,) * 2)

    found = said(None, before=lowered)
    assert (found["limit of open files"], found["limit of processor time"]) == ("77", "none")
    assert all(value == "none" or value.isdigit() for name, value in found.items() if name.startswith("limit"))
