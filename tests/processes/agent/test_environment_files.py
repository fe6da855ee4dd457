"""The agent looks at an environment's files while a job runs. The standard library is left out: it takes seconds."""

from __future__ import annotations

import os
import time

import pytest

from agent_attempt import Attempt
from edges.environment.environments import SGD, Environment, later, without_stdlib
from saksi.edges.environment.watched_files import keep_tree, look_at
from saksi.judgement.environment.watched_files import tree_of
from saksi.processes.agent import attempt as attempt_module
from saksi.processes.agent import environment_files
from saksi.processes.agent.environment_files import EnvironmentFiles, Watch
from saksi.words.digest import sha256
from saksi.words.records import EnvironmentRecord, ExitRecord

PATH = "toytorch/sgd.py"


@pytest.fixture
def environment(tmp_path, monkeypatch):
    without_stdlib(monkeypatch)
    monkeypatch.setattr(attempt_module, "ENVIRONMENT_NS", 100_000_000)
    made = Environment(tmp_path / "venv")
    made.install(files={PATH: SGD, "toytorch/__init__.py": ""})
    made.file = made.site / PATH
    return made


def watch(environment, tmp_path):
    question = environment.question(cache=tmp_path / "cache")
    sealed = look_at(question, now_ns=later())
    keep_tree(question, sealed)
    return Watch(question=question, sealed=str(tree_of(sealed)))


def looks(attempt):
    return attempt.records(EnvironmentRecord)


def wait_for(attempt, moment):
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        found = [each for each in looks(attempt) if each.moment == moment]
        if found:
            return found[-1]
        time.sleep(0.05)
    raise AssertionError(f"no look at the {moment}")


def seen(record):
    return [(each.path, each.what) for each in record.changed]


def test_files_that_stay_as_sealed_are_looked_at_twice_and_nothing_else_is_written(environment, tmp_path):
    watched = watch(environment, tmp_path)
    attempt = Attempt(tmp_path, environment=watched)
    attempt.start_job()
    wait_for(attempt, "start")
    environment.compile(PATH)
    time.sleep(0.5)
    attempt.end()
    start, end = looks(attempt)
    assert (start.moment, end.moment) == ("start", "end")
    assert start.tree == end.tree == watched.sealed
    assert (start.totals, end.totals, start.whole, end.whole) == ({}, {}, False, True)
    assert end.looks > 2
    assert isinstance(attempt.records()[-1], ExitRecord)


def test_a_library_that_was_edited_since_it_was_sealed_is_named_at_the_start(environment, tmp_path):
    watched = watch(environment, tmp_path)
    environment.file.write_text(SGD.replace("0.1", "0.103"))
    attempt = Attempt(tmp_path, environment=watched)
    attempt.start_job()
    start = wait_for(attempt, "start")
    attempt.end()
    assert start.tree != watched.sealed
    assert seen(start) == [(PATH, "changed")]
    assert (start.changed[0].before, start.changed[0].after) == (
        str(sha256(SGD.encode())),
        str(sha256(environment.file.read_bytes())),
    )


def test_an_edit_that_is_taken_back_between_two_looks_is_named(environment, tmp_path, monkeypatch):
    monkeypatch.setattr(attempt_module, "ENVIRONMENT_NS", 3_600_000_000_000)
    attempt = Attempt(tmp_path, environment=watch(environment, tmp_path))
    attempt.start_job()
    wait_for(attempt, "start")
    times = environment.file.stat()
    environment.file.write_text(SGD.replace("0.1", "0.103"))
    environment.file.write_text(SGD)
    os.utime(environment.file, ns=(times.st_atime_ns, times.st_mtime_ns))
    attempt.end()
    end = looks(attempt)[-1]
    assert (end.moment, seen(end)) == ("end", [(PATH, "rewritten")])


def test_an_edit_while_the_job_runs_is_named_by_the_next_pass(environment, tmp_path):
    attempt = Attempt(tmp_path, environment=watch(environment, tmp_path))
    attempt.start_job()
    wait_for(attempt, "start")
    environment.file.write_text(SGD.replace("0.1", "0.103"))
    assert seen(wait_for(attempt, "pass")) == [(PATH, "changed")]
    attempt.end()
    assert [each.totals for each in looks(attempt)][1:] == [{"changed": 1}, {}]


def test_what_cannot_be_looked_at_says_why_at_the_start_and_the_end(tmp_path):
    attempt = Attempt(tmp_path, environment=Watch(question=None, sealed=str(sha256(b"tree")), reason="another account"))
    attempt.start_job()
    wait_for(attempt, "start")
    attempt.end()
    assert [(each.moment, each.tree, each.reason) for each in looks(attempt)] == [
        ("start", None, "another account"),
        ("end", None, "another account"),
    ]


def test_without_a_watch_nothing_is_written(tmp_path):
    attempt = Attempt(tmp_path)
    attempt.start_job()
    attempt.end()
    assert looks(attempt) == []


def test_a_look_that_fails_says_so_and_the_next_one_is_made(environment, tmp_path, monkeypatch):
    watched = watch(environment, tmp_path)
    whole, failed = environment_files.look_at, []

    def fails_once(*given, **options):
        if not failed:
            failed.append(True)
            raise RuntimeError("broken")
        return whole(*given, **options)

    monkeypatch.setattr(environment_files, "look_at", fails_once)
    files = EnvironmentFiles(watched, lambda: None)
    found = []
    for moment in ("start", "end"):
        files.look(moment)
        while files.pending:
            time.sleep(0.01)
        found += files.collect()
    files.close()
    assert [(each.moment, each.tree) for each in found] == [("start", None), ("end", watched.sealed)]
    assert found[0].reason == "the agent failed: RuntimeError: broken"


def test_a_look_that_takes_too_long_is_left_and_said(environment, tmp_path, monkeypatch):
    monkeypatch.setattr(attempt_module, "FILES_NS", 300_000_000)
    whole = environment_files.look_at

    def slow(*given, go_on, **options):
        while go_on():
            time.sleep(0.01)
        return whole(*given, go_on=go_on, **options)

    attempt_watch = watch(environment, tmp_path)
    monkeypatch.setattr(environment_files, "look_at", slow)
    attempt = Attempt(tmp_path, environment=attempt_watch)
    attempt.start_job()
    attempt.end()
    end = looks(attempt)[-1]
    assert (end.moment, end.tree) == ("end", None)
    assert "before" in end.reason
