"""One replay of a plain program: what it left, and how it is ended."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from confining import not_allowed
from saksi.edges.host.procfs import children_of, descendants_of
from saksi.judgement.replay.invocation import Invocation
from saksi.processes.auditor.compiled_ahead import FEW
from saksi.processes.auditor.launches import NotReplayed
from saksi.processes.auditor.replaying import Replay, replay, scratch_folder

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

TAKES = "import time; b = bytearray(600 << 20); b[::4096] = b'x' * len(b[::4096]); print('ends'); time.sleep({})"
FORKS = """
import os, time
for _ in range(4):
    if os.fork() == 0:
        break
taken = bytearray(150 << 20)
taken[::4096] = b"x" * len(taken[::4096])
time.sleep(30)
"""


def test_a_folder_whose_path_is_too_long_for_a_socket_is_taken_only_if_there_is_no_other(tmp_path, monkeypatch):
    long = tmp_path / ("long" * 10)
    long.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(long))
    with scratch_folder(()) as place:
        assert not place.is_relative_to(long)
    with scratch_folder((Path("/var/tmp"), Path("/dev/shm")), rather=(Path("/"),)) as place:
        assert not place.is_relative_to(long)


@pytest.fixture
def replayed(tmp_path):
    """Replays `python -c CODE`, with a limit of memory."""

    def replayed(code, *, limit_s=60, environment=None, segment=None, **more):
        folder = tmp_path / "project"
        folder.mkdir(exist_ok=True)
        with scratch_folder((folder.resolve(),)) as place:
            for each in ("cache", "replay"):
                (place / each).mkdir()
            task = Replay(
                invocation=Invocation(argv=(sys.executable, "-c", code), folder=str(folder),
                                      environment=environment or {"PATH": "/usr/bin:/bin"}),
                level="standard", segment=segment, project=None, redaction_key=None, placed=(), written=(folder,),
                hidden=(), cache=place / "cache", limit_s=limit_s, **more,
            )  # fmt: skip
            before = children_of(os.getpid())
            try:
                found = replay(task, place / "replay")
            except NotReplayed as reason:
                not_allowed(str(reason))
            assert not descendants_of(os.getpid(), without=frozenset(before))
            return found

    return replayed


def test_a_replay_that_takes_more_memory_than_it_may_is_ended_and_says_so(replayed):
    found = replayed(TAKES.format(30), memory=400 << 20)
    assert (found.code, found.took_more) == (None, 400 << 20)
    assert found.ending == "it was ended as it took more than 0.391 GiB of memory: see --memory"


def test_processes_of_a_replay_share_its_limit(replayed):
    assert replayed(FORKS, memory=400 << 20).took_more == 400 << 20


def test_a_replay_that_stays_below_its_limit_comes_to_its_end(replayed):
    found = replayed(TAKES.format(1), memory=2 << 30)
    assert (found.code, found.took_more) == (0, None)


def test_the_limit_of_time_holds_where_nothing_is_observed_of_the_command_too(replayed):
    found = replayed("import time; time.sleep(60)", limit_s=3)
    assert (found.code, found.ending) == (None, "it was ended after its limit of time")


def test_a_replay_uses_as_many_processors_as_it_may_and_hears_of_threads_from_the_audit_alone(replayed, monkeypatch):
    monkeypatch.setenv("SAKSI_THREADS", "3")
    code = "import os, sys; sys.exit(10 * len(os.sched_getaffinity(0)) + int(os.environ.get('SAKSI_THREADS', 9)))"
    assert replayed(code, cores=1, threads=7).code == 17


def test_what_the_run_said_of_threads_to_an_audit_reaches_no_replay(replayed):
    code = "import os, sys; sys.exit('SAKSI_THREADS' in os.environ)"
    assert replayed(code, environment={"PATH": "/usr/bin:/bin", "SAKSI_THREADS": "3"}).code == 0


@pytest.mark.parametrize(("roots", "heard"), [((), None), ((3, 9), "3,9")])
def test_a_replay_hears_from_the_audit_alone_where_roots_are_wanted(replayed, roots, heard):
    code = f"import os, sys; sys.exit(os.environ.get('SAKSI_ROOTS') != {heard!r})"
    environment = {"PATH": "/usr/bin:/bin", "SAKSI_ROOTS": "5"}  # of the run
    assert replayed(code, environment=environment, roots_behind=roots).code == 0


@pytest.mark.parametrize(("roots", "segment"), [((), "7"), ((3,), "1000000")])
def test_where_roots_are_named_none_is_taken_at_segment_ends(replayed, roots, segment):
    code = f"import os, sys; sys.exit(os.environ['SAKSI_SEGMENT'] != {segment!r})"
    assert replayed(code, segment=7, roots_behind=roots).code == 0


@pytest.mark.parametrize(
    ("fields", "heard"),
    [
        ({}, {}),
        (
            {"samples": ("ab" * 32, 7), "planted": True, "varied": (("ATEN_CPU_CAPABILITY", "default"),)},
            {"SAKSI_SAMPLES": "ab" * 32 + ":7", "SAKSI_PLANTED": "1", "ATEN_CPU_CAPABILITY": "default"},
        ),
    ],
)
def test_a_replay_that_measures_what_rounding_does_hears_of_it_from_the_audit_alone(replayed, fields, heard):
    names = ("SAKSI_SAMPLES", "SAKSI_PLANTED", "ATEN_CPU_CAPABILITY")
    code = f"import os, sys; sys.exit({{n: os.environ[n] for n in {names!r} if n in os.environ}} != {heard!r})"
    environment = {"PATH": "/usr/bin:/bin", "SAKSI_SAMPLES": "cd" * 32 + ":1", "SAKSI_PLANTED": "1"}  # of the run
    assert replayed(code, environment=environment, **fields).code == 0


def test_what_the_run_imported_is_compiled_before_the_program_starts(replayed, tmp_path):
    if len(os.sched_getaffinity(0)) == 1:
        pytest.skip("one processor compiles as it imports")
    names = [tmp_path / "imported" / f"m{number}.py" for number in range(FEW)]
    names[0].parent.mkdir()
    for each in names:
        each.write_text("")
    code = f"""
import importlib.util, os, sys
there = [os.path.exists(importlib.util.cache_from_source(each)) for each in {[str(each) for each in names]!r}]
sys.exit(sum(there) // {FEW // 50})
"""
    assert replayed(code, sources=tuple(map(str, names))).code == 50
    assert replayed(code, sources=()).code == 0
