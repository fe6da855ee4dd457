"""A launch that its scheduler started again is a further attempt of the same run, and says why."""

from __future__ import annotations

import shutil
import signal
import sys

import pytest

from saksi.edges.run_labels import seal_in
from saksi.edges.runs import open_run
from saksi_run import Home

TRUE = [sys.executable, "-c", "pass"]
SLURM = {"SLURM_JOB_ID": "4711"}
REQUEUED = {**SLURM, "SLURM_RESTART_COUNT": "1"}


@pytest.fixture
def home(tmp_path):
    return Home(tmp_path)


def launch(home, environment, *options, command=TRUE):
    done = home.run("run", *options, "--", *command, env={**home.environment, **environment})
    assert done.returncode == 0, done.stderr
    return done.stderr


def seals(home, number=-1):
    reading = open_run(home.runs()[number])
    return [seal_in(each, reading.blob) for each in reading.entries if each.startswith(b'{"kind":"seal"')]


def test_a_requeued_slurm_job_is_a_further_attempt(home):
    launch(home, SLURM)
    said = launch(home, REQUEUED)
    (folder,) = home.runs()
    assert f"run {folder.name}, attempt 1 (SLURM job 4711 was requeued): witnessed" in said
    first, second = seals(home)
    assert (first.launch_key.label, first.launch_key.joined, first.launch_key.restarts) == ("4711", False, 0)
    assert (second.attempt, second.launch_key.joined, second.launch_key.restarts) == (1, True, 1)
    assert home.run("verify", "last").returncode != 1
    lines = home.json("show", "last")["attempts"]
    assert [each["joined_by"] for each in lines] == [None, "SLURM job 4711 was requeued"]
    assert "as it says, SLURM job 4711 was requeued" in home.run("show", "last").stdout


@pytest.mark.parametrize(
    "environment",
    [
        SLURM,
        {"SLURM_JOB_ID": "4712", "SLURM_RESTART_COUNT": "1"},
        {**REQUEUED, "SLURM_ARRAY_JOB_ID": "4711", "SLURM_ARRAY_TASK_ID": "1"},
        {},
    ],
    ids=["not restarted", "another job", "a task of an array", "no scheduler"],
)
def test_any_other_launch_is_a_run_of_its_own(home, environment):
    launch(home, SLURM)
    launch(home, environment)
    assert len(home.runs()) == 2


def test_another_command_of_the_same_job_is_a_run_of_its_own(home):
    launch(home, SLURM)
    launch(home, REQUEUED, command=[sys.executable, "-c", "1"])
    assert len(home.runs()) == 2


def test_tasks_of_an_array_continue_their_own_runs(home):
    for restarts in "01":
        for task in "12":
            array = {"SLURM_ARRAY_JOB_ID": "4711", "SLURM_ARRAY_TASK_ID": task, "SLURM_RESTART_COUNT": restarts}
            launch(home, array)
    assert [[each.launch_key.label for each in seals(home, at)] for at in (0, 1)] in (
        [["4711_1"] * 2, ["4711_2"] * 2],
        [["4711_2"] * 2, ["4711_1"] * 2],
    )


def test_a_key_of_ones_own_joins_launches_of_any_command(home):
    launch(home, {"SAKSI_RUN_KEY": "nightly"}, "--name", "night")
    said = launch(home, {"SAKSI_RUN_KEY": "nightly"}, command=[sys.executable, "-c", "1"])
    assert "attempt 1 (SAKSI_RUN_KEY is 'nightly' again)" in said
    assert len(home.runs()) == 1


def test_torchelastic_that_starts_the_launcher_again_continues_the_run(home):
    launch(home, {"TORCHELASTIC_RUN_ID": "abc", "TORCHELASTIC_RESTART_COUNT": "0"})
    said = launch(home, {"TORCHELASTIC_RUN_ID": "abc", "TORCHELASTIC_RESTART_COUNT": "1"})
    assert "attempt 1 (torchelastic run abc on" in said


def test_while_the_former_attempt_runs_the_launch_is_a_run_of_its_own(home):
    sleeper = [sys.executable, "-c", "print('up', flush=True); import time; time.sleep(60)"]
    environment = {**home.environment, "SAKSI_RUN_KEY": "k"}
    running = home.popen("run", "-q", "--", *sleeper, env=environment, stdout=-1, text=True)
    try:
        assert running.stdout.readline() == "up\n"
        said = launch(home, {"SAKSI_RUN_KEY": "k"})
        assert "is not continued (SAKSI_RUN_KEY is 'k' again)" in said
        assert "is still being written" in said
        assert "attempt 0: witnessed" in said
        assert len(home.runs()) == 2
    finally:
        running.send_signal(signal.SIGTERM)
        running.wait(30)
        running.stdout.close()


def test_a_run_that_is_gone_is_said_and_not_continued(home):
    launch(home, SLURM)
    shutil.rmtree(home.runs()[0])
    said = launch(home, REQUEUED)
    assert "is not continued" in said
    assert "attempt 0: witnessed" in said


def test_the_key_is_found_again_in_the_seals(home):
    launch(home, SLURM)
    shutil.rmtree(home.folder / "home/launch-keys")
    assert "attempt 1 (SLURM job 4711 was requeued)" in launch(home, REQUEUED)


def test_a_key_that_is_none_is_said_and_stops_nothing(home):
    said = launch(home, {"SAKSI_RUN_KEY": "a\nb"})
    assert "cannot be a key" in said
    assert "attempt 0: witnessed" in said


def test_what_the_command_line_says_goes_before_the_key(home):
    launch(home, {}, "--name", "first")
    launch(home, SLURM)
    said = launch(home, REQUEUED, "--resume", "first")
    assert "attempt 1: witnessed" in said
    assert sorted(len(seals(home, at)) for at in (0, 1)) == [1, 2]


def test_without_a_key_nothing_is_kept(home):
    launch(home, {})
    assert not (home.folder / "home/launch-keys").exists()
