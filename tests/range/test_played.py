"""A few cases played for real, each with a fresh seed that is printed; and what happens to one that does not run.

All of them are played by `make range` alone.
"""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import time
from pathlib import Path
from random import Random

import msgspec
import pytest

from confining import not_allowed
from saksi.doors.cli.range import exit_code_of
from saksi.range.case import Case, Named
from saksi.range.cases import ALL as CASES
from saksi.range.honest import ALL as VARIANTS
from saksi.range.session import Question, chosen, play_all
from saksi_run import SAKSI, Home

pytestmark = [pytest.mark.training, pytest.mark.slow, pytest.mark.timeout(300)]


def play(tmp_path, *entries, limit_s=90.0, jobs=1, seed=None, replay=False):
    seed = secrets.randbits(32) if seed is None else seed
    sys.stdout.write(f"seed {seed}\n")
    environment = Home(tmp_path).environment  # one cache for all tests of a session
    question = Question(
        entries=entries,
        seed=seed,
        seeds=1,
        python=Path(sys.executable),
        folder=tmp_path / "range",
        cache=Path(environment["XDG_CACHE_HOME"]),
        limit_s=limit_s,
        jobs=jobs,
        replay=replay,
    )
    return play_all(question, version="", hear=lambda _: None)


def by_saksi(line):
    return next(each for each in line.judged if each.detector == "saksi")


def toy(payload, **more):
    return Case(
        row="X01", name="toy", what="", layers=("live",), named=(Named(code=".*"),), draw=lambda _: {"AT": 3},
        script={"updated": payload}, **more,
    )  # fmt: skip


def test_an_edited_weight_and_another_rate_are_named_at_their_step_and_the_honest_program_is_not_accused(tmp_path):
    report = play(tmp_path, *chosen(["G08", "C02-applied-rate", "honest-plain"], []))
    assert [each.error for each in (*report.cases, *report.variants)] == [None, None, None]
    for line in report.cases:
        found = by_saksi(line)
        assert (found.found, found.object_named, found.step_error) == (True, True, 0), line
    (honest,) = report.variants
    assert (honest.accused, honest.verdict, honest.complete) == ((), "unknown", True)
    assert exit_code_of(report) == 0
    assert not list((tmp_path / "range").glob("*-0")), "what was played is removed"
    assert msgspec.json.decode(msgspec.json.encode(report), type=type(report)) == report


def test_what_only_a_plan_tells_is_held_to_one_that_is_approved_and_the_honest_program_keeps_it(tmp_path):
    report = play(tmp_path, *chosen(["E01", "honest-plain-planned"], []))
    (line,), (honest,) = report.cases, report.variants
    assert [line.error, honest.error] == [None, None]
    found = by_saksi(line)
    assert (found.found, found.object_named, found.step_error, found.by) == (True, True, 0, ("data.order_not_planned",))
    assert line.approved_with_it
    assert not next(each for each in line.judged if each.detector == "file hashes").found
    assert (honest.accused, honest.complete) == ((), True)
    assert honest.reasons == ("environment not verified",)


def test_a_start_up_file_is_seen_by_file_hashes_only_if_it_came_after_the_approval(tmp_path):
    report = play(tmp_path, *chosen(["A05"], []))
    (line,) = report.cases
    hashes = next(each for each in line.judged if each.detector == "file hashes")
    assert hashes.found is not line.approved_with_it
    assert by_saksi(line).object_named


def test_a_payload_that_never_acts_is_a_failure_and_no_detection(tmp_path):
    report = play(tmp_path, toy("model[0].weight.data += 1e-2"))
    (line,) = report.cases
    assert line.error == "X01-toy: the payload never acted"
    assert line.judged == ()
    assert [each.cases for each in report.totals] == [0, 0, 0]
    assert exit_code_of(report) == 4


def test_another_end_than_the_case_says_is_a_failure(tmp_path):
    report = play(tmp_path, toy("acted()\nraise SystemExit(9)"))
    assert report.cases[0].error == "X01-toy: the training ended with 9, not with (0,)"


def test_what_takes_too_long_is_ended_and_is_a_failure(tmp_path):
    stays = tmp_path / "stays"
    payload = f"import os\nopen({str(stays)!r}, 'w').write(str(os.getpid()))\nacted()\ntime.sleep(600)"
    report = play(tmp_path, toy(payload), limit_s=30.0)
    assert report.cases[0].error == "not done within 30 seconds"
    deadline = time.monotonic() + 30
    while Path(f"/proc/{stays.read_text()}").exists():
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.mark.timeout(900)
def test_three_cases_and_two_honest_programs_that_chance_chooses_run_side_by_side(tmp_path):
    """Of those that need no environment of their own. What saksi makes of them is for the whole range to say."""
    seed = secrets.randbits(32)
    rng = Random(seed)
    cases = rng.sample([each for each in CASES if not (each.site or each.bytecode or each.sealed)], 3)
    variants = rng.sample([each for each in VARIANTS if each.launches == 1], 2)
    report = play(tmp_path, *cases, *variants, jobs=2, seed=seed, limit_s=300.0)
    assert [each.case for each in report.cases] == [each.id for each in cases], "in order, whoever is done first"
    assert [each.error for each in (*report.cases, *report.variants)] == [None] * 5
    for line in report.cases:
        assert len(line.judged) == 3
        assert line.first_step is None or line.first_step < 60
    assert not list((tmp_path / "range").iterdir())


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_range_that_is_asked_to_end_leaves_no_folder_and_no_process(tmp_path, jobs):
    folders = tmp_path / "temporary"
    folders.mkdir()
    words = ("range", "--only", "G08", "--only", "I02", "--python", sys.executable, "--jobs", str(jobs))
    environment = {**Home(tmp_path).environment, "TMPDIR": str(folders)}
    with subprocess.Popen([*SAKSI, *words], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as ended:
        deadline = time.monotonic() + 200
        while len(list(folders.glob("saksi-range-*/played/*/home"))) < jobs:
            assert ended.poll() is None, ended.stderr.read()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        ended.send_signal(signal.SIGTERM)
        said = ended.communicate(timeout=90)[0]
    assert (ended.returncode, said) == (128 + signal.SIGTERM, b"")
    assert list(folders.glob("saksi-range-*")) == []
    deadline = time.monotonic() + 30
    while left := [each for each in _command_lines() if str(folders) in each]:
        assert time.monotonic() < deadline, left
        time.sleep(0.1)


def _command_lines():
    for pid in filter(str.isdecimal, os.listdir("/proc")):
        try:
            yield f"{Path('/proc', pid, 'cwd').readlink()} {Path('/proc', pid, 'cmdline').read_bytes()!r}"
        except OSError:
            continue  # gone meanwhile


@pytest.mark.timeout(900)
def test_a_replay_names_what_no_look_at_the_run_sees(tmp_path):
    """That it clears programs which edit their weights themselves is for the whole range to say."""
    report = play(tmp_path, *chosen(["D06"], []), replay=True, limit_s=400.0)
    (line,) = report.cases
    assert line.error is None
    (replayed,) = line.replayed
    if replayed.reason is not None and "namespaces" in replayed.reason:
        not_allowed(replayed.reason)
    assert not by_saksi(line).found
    found = next(each for each in line.judged if each.detector == "saksi with replay")
    assert (found.found, found.object_named, found.step_error) == (True, True, 0), replayed
    assert replayed.file.rpartition(":")[0].endswith("/project/train.py")
