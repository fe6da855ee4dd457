"""Tasks that workers of this machine execute side by side, and workers that do not come to their end."""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
import sys
import time

import pytest

from confining import not_allowed
from saksi.edges.host.procfs import children_of, descendants_of, read_process
from saksi.edges.host.self_protection import orphans_adopted
from saksi.judgement.replay.invocation import Invocation
from saksi.judgement.replay.stretches import Restart
from saksi.processes.auditor import pool
from saksi.processes.auditor.executor import Lost, Refused, Task
from saksi.processes.auditor.launches import NotReplayed
from saksi.processes.auditor.pool import LocalPool
from saksi.processes.auditor.replaying import Replay, scratch_folder

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

ENDS = "import sys; print('said', file=sys.stderr); sys.exit({})"
STAYS = "import time; time.sleep(60)"


class Workshop:
    """A folder with a model checkpoint, and a pool that a test may look at, or meddle with, at every turn."""

    def __init__(self, folder, place):
        self.folder, self.place = folder, place
        self.ckpt = folder / "ckpt.pt"
        self.ckpt.write_bytes(b"what the run saved")
        self.most = 0
        self.before = frozenset(children_of(os.getpid()))

    def task(self, name, code, **more):
        replay = Replay(
            invocation=Invocation(argv=(sys.executable, "-c", code), environment={"PATH": "/usr/bin:/bin"},
                                  folder=str(self.folder)),
            level="standard", segment=None, project=None, redaction_key=None, placed=(), written=(self.folder,),
            hidden=(), cache=self.place, limit_s=60, **more,
        )  # fmt: skip
        digest = f"sha256:{hashlib.sha256(b'what the run saved').hexdigest()}"
        return Task(name=name, replay=replay, restart=Restart(step=9, path="ckpt.pt", digest=digest, size=18))

    def workers(self):
        """Those that run, by pid, with how many processes there are below each."""
        found = [pid for pid in children_of(os.getpid()) if pid not in self.before]
        known = [each for each in map(read_process, found) if each and "saksi.processes.auditor.worker" in each.command]
        return {each.pid: len(descendants_of(each.pid)) for each in known if each.state != "Z"}

    def run(self, *tasks, size=2, turn=lambda _: None):
        @contextlib.contextmanager
        def waiting():
            self.most = max(self.most, len(self.workers()))
            yield
            turn(self)

        try:
            return LocalPool(self.place, size, waiting=waiting).run(tasks)
        except NotReplayed as reason:
            not_allowed(str(reason))
        finally:
            assert not descendants_of(os.getpid(), without=self.before)


@pytest.fixture
def workshop(tmp_path):
    folder = (tmp_path / "project").resolve()
    folder.mkdir()
    with scratch_folder((folder,)) as place:
        yield Workshop(folder, place)


def ended(found):
    return {name: (each.code, each.ending, each.reading is not None) for name, each in found.items()}


def killing(times):
    """Kills the worker of a replay that has begun, so often."""
    left = [None] * times

    def turn(workshop):
        begun = [pid for pid, below in workshop.workers().items() if below >= 2]
        if begun and left:
            os.kill(begun[0], signal.SIGKILL)
            left.pop()

    return turn


def test_tasks_side_by_side_end_as_one_after_the_other(workshop):
    codes = {"a": 0, "b": 3, "c": 5}
    expected = {
        "a": (0, "it ended with exit code 0", True),
        "b": (3, "it ended with exit code 3: said", True),
        "c": (5, "it ended with exit code 5: said", True),
    }
    for size in (1, 3):
        tasks = [workshop.task(f"{name}", ENDS.format(code)) for name, code in codes.items()]
        workshop.place, place = workshop.place / f"of-{size}", workshop.place
        workshop.place.mkdir()
        assert ended(workshop.run(*tasks, size=size)) == expected
        assert workshop.most == size
        workshop.place = place


def test_a_replay_does_not_see_what_another_one_leaves(workshop):
    looks = "import os, sys, time; time.sleep(2); sys.exit(len(os.listdir(sys.argv[1])))"
    a = workshop.task("a", looks, more=(str(workshop.place / "b"),))
    b = workshop.task("b", looks, more=(str(workshop.place / "a"),))
    found = workshop.run(a, b)
    assert {name: each.code for name, each in found.items()} == {"a": 0, "b": 0}
    assert os.listdir(workshop.place / "a") == os.listdir(workshop.place / "b") == ["0"]


def test_a_worker_that_is_killed_loses_nothing(workshop):
    slowly = workshop.task("slowly", "import time; time.sleep(4)")
    found = workshop.run(slowly, workshop.task("other", ENDS.format(0)), turn=killing(1))
    assert ended(found)["slowly"] == (0, "it ended with exit code 0", True)
    assert found["other"].code == 0
    assert sorted(os.listdir(workshop.place / "slowly")) == ["0", "1"]


def test_a_task_whose_workers_are_killed_twice_is_lost_and_others_are_not(workshop):
    found = workshop.run(workshop.task("kept", ENDS.format(0)), workshop.task("stays", STAYS), size=1, turn=_of_stays)
    assert found["kept"].code == 0
    assert found["stays"] == Lost(2, "its worker was ended by SIGKILL")


def stopping(workshop):
    for pid, below in workshop.workers().items():
        if below >= 2:
            os.kill(pid, signal.SIGSTOP)


def test_a_worker_that_was_stopped_is_lost_behind_its_time(workshop, monkeypatch):
    monkeypatch.setattr(pool, "SLACK_S", 5.0 - 2 * 60)
    found = workshop.run(workshop.task("stays", STAYS), turn=stopping)
    assert found["stays"] == Lost(2, "its worker was ended by SIGKILL")


def test_workers_that_were_stopped_are_ended_together(workshop, monkeypatch):
    monkeypatch.setattr(pool, "GRACE_S", 2.0)
    began = []

    def turn(workshop):
        if len([below for below in workshop.workers().values() if below >= 3]) == 2:
            stopping(workshop)
            began.append(time.monotonic())
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        workshop.run(workshop.task("a", STAYS), workshop.task("b", STAYS), turn=turn)
    assert time.monotonic() - began[0] < 30


def _of_stays(workshop):
    if (workshop.place / "stays" / "0").is_dir():
        killing(1)(workshop)


def test_a_wait_that_is_interrupted_ends_every_worker_and_what_is_below_it(workshop):
    def turn(workshop):
        if [below for below in workshop.workers().values() if below >= 3] and len(workshop.workers()) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        workshop.run(workshop.task("a", STAYS), workshop.task("b", STAYS), turn=turn)


@orphans_adopted()
def test_workers_whose_pool_is_killed_end_by_themselves_with_what_is_below_them(workshop):
    """We adopt what it leaves behind, and so see it."""
    child = os.fork()
    if child == 0:
        with contextlib.suppress(BaseException):
            LocalPool(workshop.place, 1).run([workshop.task("a", STAYS)])
        os._exit(1)
    while len(descendants_of(child)) < 4:
        if os.waitpid(child, os.WNOHANG)[0]:
            not_allowed("the pool has ended")
        time.sleep(0.05)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    until = time.monotonic() + 60
    while (left := _living(workshop.before)) and time.monotonic() < until:
        time.sleep(0.05)
    assert left == []


def _living(before):
    """With the dead of them reaped, as whoever adopts does."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    return [*descendants_of(os.getpid(), without=before)]


@pytest.mark.parametrize("number", ["0", "[01]"])
def test_a_record_that_is_not_the_one_its_worker_signed_is_not_read(workshop, number):
    def turn(workshop):
        for result in workshop.place.glob(f"a/{number}/result.json"):
            (result.parent / "replay" / "home" / "more").write_text("put there afterwards")

    found = workshop.run(workshop.task("a", ENDS.format(0)), turn=turn)["a"]
    if number == "0":
        assert found.code == 0
    else:
        assert found == Lost(
            2,
            "what its worker left is not what it signed: result of a replay: 1 of its subjects are not what is here: "
            "./home/more",
        )


def test_a_model_checkpoint_that_changed_since_is_given_to_nobody(workshop):
    workshop.ckpt.write_bytes(b"what the run  aved")
    found = workshop.run(workshop.task("a", ENDS.format(0)))
    assert found == {"a": Refused(f"{workshop.ckpt} has changed since the run saved it")}


def test_a_replay_that_takes_too_much_memory_says_so_over_there_too(workshop):
    takes = "b = bytearray(600 << 20); b[::4096] = b'x' * len(b[::4096]); import time; time.sleep(30)"
    (found,) = workshop.run(workshop.task("a", takes, memory=400 << 20)).values()
    assert (found.code, found.took_more) == (None, 400 << 20)
