"""What the seal says of where code may lie."""

from __future__ import annotations

import os
import time
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest

import saksi
from judgement.seals import plain_seal
from saksi.processes.agent import sources as sources_of
from saksi.processes.agent.sources import LiveSources, own_code_of


def test_packages_lie_with_the_interpreter_that_the_seal_names_and_where_it_is_told_to_look():
    seal = plain_seal()
    assert own_code_of(seal).installations == ("/venv", "/usr")
    told = msgspec.structs.replace(seal, environment={"PYTHONPATH": "lib:/apps/site:", "PYTHONUSERBASE": "/data/me"})
    assert own_code_of(told).installations == ("/venv", "/usr", "/home/a/project/lib", "/apps/site", "/data/me")
    assert own_code_of(msgspec.structs.replace(seal, interpreter=None)).installations is None
    secret = msgspec.structs.replace(seal, environment={"PYTHONPATH": "hmac-sha256:" + "a" * 64})
    assert own_code_of(secret).installations is None


def test_its_site_folders_are_told_so_that_their_path_lines_can_be_followed():
    version = plain_seal().interpreter.version.split(".")
    folder = f"lib/python{version[0]}.{version[1]}/site-packages"
    assert own_code_of(plain_seal()).sites == (f"/venv/{folder}", f"/usr/{folder}")


class Connection:
    def __init__(self, python, *, is_open=True):
        self.hello = SimpleNamespace(python=python, flags={})
        self.peer = SimpleNamespace(pid=os.getpid())
        self.is_open = is_open


def part(path, part=0, parts=1):
    owner = SimpleNamespace(owner=0, homes=[], pieces=[])
    return SimpleNamespace(files=[path], subjects=[owner], part=part, parts=parts)


@pytest.fixture
def asked(monkeypatch):
    """The sources, and what the worker was asked for."""
    found = LiveSources(lambda: None, own=own_code_of(plain_seal()), began_wall_ns=0)
    jobs = []
    monkeypatch.setattr(found, "_compile", lambda job: jobs.append(job) or [])
    return found, jobs


def compiled(sources):
    deadline = time.monotonic() + 20
    while sources.pending and time.monotonic() < deadline:
        sources.collect()
        time.sleep(0.01)
    sources.close()


def test_versions_of_python_are_the_jobs_words_and_only_a_few_that_are_versions_are_followed(asked):
    sources, jobs = asked
    for version in ("3.11", "x" * 100, "3.11.7\n", *(f"3.11.{number}" for number in range(40))):
        sources.heard(Connection(version), part("/a.py"))
    compiled(sources)
    assert [each.python for each in jobs] == [f"3.11.{number}" for number in range(16)]


def test_inventories_that_broke_off_are_let_go_and_what_they_named_is_read_all_the_same(asked, monkeypatch):
    monkeypatch.setattr(sources_of, "MAX_GATHERED", 2)
    sources, jobs = asked
    for number in range(2):
        sources.heard(Connection("3.11.7", is_open=number > 0), part(f"/{number}.py", parts=2))
    sources.heard(Connection("3.11.7"), part("/2.py", parts=2))
    sources.heard(Connection("3.11.7"), part("/3.py", parts=2))
    compiled(sources)
    assert len(sources._new) == 2
    assert [each.path for job in jobs for each in job.wanted] == ["/0.py"]


def test_of_a_process_that_is_gone_it_is_still_known_where_its_files_lie(monkeypatch):
    """Nothing was read, which is no reason to take torch's and the recorder's own files for a stranger's."""
    monkeypatch.setattr(sources_of, "read_process", lambda pid: None)
    sources = LiveSources(lambda: None, own=own_code_of(plain_seal()), began_wall_ns=0)
    recorder = str(Path(saksi.__file__).parent / "recorder" / "path" / "saksi_recorder" / "steps.py")
    sources.heard(Connection("3.11.7"), part(recorder))
    deadline = time.monotonic() + 20
    found = []
    while not found and time.monotonic() < deadline:
        found = sources.collect()
        time.sleep(0.01)
    sources.close()
    assert [(each.placed.origin, each.compiled.reason) for each in found] == [
        ("recorder", "the job's interpreter is not known")
    ]
