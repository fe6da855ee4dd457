"""The agent is killed, stopped or starved while a training runs: that goes on, and the log says what is missing."""

from __future__ import annotations

import os
import random
import resource
import signal
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from lasting_training import Training, alone, wait_until
from saksi.words.records import AttemptKeyRecord, ExitRecord, GapRecord
from saksi_run import Home, agents_alive

ROUNDS, AT_ONCE = 10, 5
KILLS = 5
"""In one round; the launcher starts as many agents again in a row."""


@pytest.fixture
def home(tmp_path):
    return Home(tmp_path)


def keep_head(folder, anchors):
    """Keep what is signed now, as an anchor would: nothing of it may be missing later."""
    note = (folder / "head").read_bytes()
    size = int(note.split(b"\n")[1])
    kept = anchors / folder.name / f"{size:012}.note"
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.write_bytes(note)


def gaps(home):
    return [each for each in home.json("findings", "last")["items"] if each["code"] == "coverage.gap"]


@pytest.mark.slow
@pytest.mark.training
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seeds", [range(at, at + AT_ONCE) for at in range(0, ROUNDS, AT_ONCE)])
def test_an_agent_killed_at_random_moments_is_replaced_and_nothing_signed_is_lost(tmp_path, seeds):
    alone()
    with ThreadPoolExecutor(AT_ONCE) as rounds:  # most of a round is waiting
        keys = [done.result() for done in [rounds.submit(one_round, tmp_path / str(seed), seed) for seed in seeds]]
    assert all(1 < each <= KILLS + 1 for each in keys)  # one may be killed before its key is in the log


def one_round(folder, seed):
    """Kill the agents of one training, and hold what is left to all that was said; how many keys were admitted."""
    moments = random.Random(20261122 + seed)
    anchors, kept, home = folder / "anchors", folder / "kept", Home(folder)
    anchors.mkdir(parents=True)
    training = Training(home, folder, "--anchor", str(anchors))
    training.wait_for_steps(5)
    agent = None
    for _ in range(KILLS):
        agent = training.agent(other_than=agent)
        time.sleep(moments.uniform(0, 0.7) ** 2 * 3)
        keep_head(training.folder, kept)
        os.kill(agent, signal.SIGKILL)
    errors = training.end()

    assert training.is_as_without_a_witness()
    assert "Traceback" not in errors
    assert errors.count("\n") == 2
    assert len(home.runs()) == 1
    records = home.records()
    assert isinstance(records[-1], ExitRecord)
    keys = sum(isinstance(each, AttemptKeyRecord) for each in records)
    assert sum(isinstance(each, GapRecord) for each in records) == keys - 1
    found = gaps(home)
    assert found
    assert all(each["first_step"] is not None and each["ranks"] in ([0], []) for each in found)
    verified = home.run("verify", "last", "--anchor", str(anchors), "--anchor", str(kept), "--json")
    assert verified.returncode == 3
    assert "Traceback" not in verified.stderr
    assert verified.stdout.count('"outcome":"refused"') == 0
    assert home.run("fsck", "last").returncode == 0
    return keys


@pytest.mark.slow
@pytest.mark.training
@pytest.mark.timeout(300)
def test_an_agent_that_dies_too_often_is_not_started_again_and_that_is_said(home, tmp_path):
    training = Training(home, tmp_path)
    training.wait_for_steps(5)
    agent = None
    for _ in range(KILLS + 1):
        agent = training.agent(other_than=agent)
        time.sleep(0.05)
        os.kill(agent, signal.SIGKILL)
    errors = training.end()
    assert training.is_as_without_a_witness()
    assert f"the agent is gone: it ended {KILLS + 1} times, at last by SIGKILL" in errors
    assert errors.count("\n") == 2
    verified = home.run("verify", "last")
    assert verified.returncode == 3
    assert "Traceback" not in verified.stderr


@pytest.mark.slow
@pytest.mark.training
@pytest.mark.parametrize("continued", [True, False])
def test_an_agent_that_is_stopped_holds_nothing_up(home, tmp_path, continued):
    training = Training(home, tmp_path)
    training.wait_for_steps(5)
    agent = training.agent()
    os.kill(agent, signal.SIGSTOP)
    before = training.steps()
    training.wait_for_steps(before + 50)
    if continued:
        os.kill(agent, signal.SIGCONT)
        training.wait_for_steps(before + 100)
    errors = training.end()
    assert training.is_as_without_a_witness()
    assert errors.count("\n") == 2
    assert isinstance(home.records()[-1], ExitRecord)  # the launcher told it to continue
    assert home.run("verify", "last").returncode in (0, 3)


@pytest.mark.slow
@pytest.mark.training
def test_an_agent_that_did_not_run_for_long_says_so(home, tmp_path):
    training = Training(home, tmp_path)
    training.wait_for_steps(5)
    agent = training.agent()
    os.kill(agent, signal.SIGSTOP)
    time.sleep(11)
    os.kill(agent, signal.SIGCONT)
    training.wait_for_steps(training.steps() + 30)
    training.end()
    assert training.is_as_without_a_witness()
    (gap,) = [each for each in home.records() if isinstance(each, GapRecord)]
    assert gap.since_wall_ns is not None
    assert "the agent did nothing for" in gap.reason
    assert gaps(home)[0]["first_step"] is not None


@pytest.mark.slow
@pytest.mark.training
@pytest.mark.parametrize(
    ("limit", "value"),
    [(resource.RLIMIT_AS, 1 << 20), (resource.RLIMIT_FSIZE, 4_096), (resource.RLIMIT_NOFILE, 3)],
    ids=["memory", "disk", "files"],
)
def test_an_agent_that_is_starved_does_not_touch_the_training(home, tmp_path, limit, value):
    training = Training(home, tmp_path)
    training.wait_for_steps(5)
    resource.prlimit(training.agent(), limit, (value, value))
    training.wait_for_steps(training.steps() + 100)
    errors = training.end()
    assert training.is_as_without_a_witness()
    assert "Traceback" not in errors
    assert errors.count("\n") == 2
    verified = home.run("verify", "last")
    assert verified.returncode in (1, 3)
    assert "Traceback" not in verified.stderr


@pytest.mark.slow
@pytest.mark.training
def test_a_folder_put_back_while_no_agent_ran_is_noticed(home, tmp_path):
    training = Training(home, tmp_path)
    training.wait_for_steps(5)
    agent = training.agent()
    old = {name: (training.folder / name).read_bytes() for name in ("journal", "head")}
    wait_until(lambda: (training.folder / "head").read_bytes() != old["head"])
    time.sleep(0.3)  # the head is kept for the next agent a moment after it is swapped
    os.kill(agent, signal.SIGSTOP)  # so that nothing is written meanwhile
    for name, content in old.items():
        (training.folder / name).write_bytes(content)
    os.kill(agent, signal.SIGKILL)
    errors = training.end()
    assert training.is_as_without_a_witness()
    assert "the record cannot be continued" in errors
    assert "was signed, the present one has" in errors
    assert home.run("verify", "last").returncode == 3
    assert agents_alive(home) == []
