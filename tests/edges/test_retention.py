from __future__ import annotations

import json
import os
import time

import pytest

from agent_attempt import Attempt
from saksi.edges.home import Home
from saksi.edges.retention import REMOVED, remove_ended, usage_of
from saksi.edges.store.local import LocalStore

FUTURE = time.time_ns() + 10**15
pytestmark = pytest.mark.timeout(100)


@pytest.fixture
def home(tmp_path):
    return Home(tmp_path)


def aged(folder):
    os.utime(folder / "head", ns=(0, 0))
    return folder


def test_an_ended_run_goes_as_a_whole_and_is_told_of(home, tmp_path):
    run = Attempt(tmp_path)
    run.start_job()
    run.end()
    assert usage_of(tmp_path) > 0
    assert remove_ended(tmp_path, before_ns=0, now_ns=1) == ()
    aged(run.folder)
    assert remove_ended(tmp_path, before_ns=1, now_ns=1) == ()  # what counts is the last record's time
    (gone,) = remove_ended(tmp_path, before_ns=FUTURE, now_ns=FUTURE)
    assert not run.folder.exists()
    (told,) = (json.loads(line) for line in (tmp_path / REMOVED).read_text().splitlines())
    assert told["run"] == gone.run == run.folder.name
    assert told["size"] >= 3
    assert len(told["root"]) == 64


def test_a_run_without_an_end_or_with_a_writer_stays(home, tmp_path):
    run = Attempt(tmp_path)
    run.start_job()
    aged(run.folder)
    assert remove_ended(tmp_path, before_ns=FUTURE, now_ns=FUTURE) == ()
    os.kill(run.pid, 9)
    os.waitpid(run.pid, 0)
    assert remove_ended(tmp_path, before_ns=FUTURE, now_ns=FUTURE) == ()
    assert LocalStore(run.folder).load_head() is not None
    run.job.kill()
    run.job.wait()
    run.control.close()
