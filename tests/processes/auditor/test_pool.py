"""Tasks that workers of this machine execute side by side, and workers that do not come to their end."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import signal
import sys
import time

import msgspec
import pytest

from confining import not_allowed
from saksi.edges.host.procfs import children_of, descendants_of, read_process
from saksi.edges.host.self_protection import orphans_adopted
from saksi.judgement.replay.invocation import Invocation
from saksi.judgement.replay.stretches import Restart
from saksi.processes.auditor import pool
from saksi.processes.auditor.executor import Lost, Refused, Task
from saksi.processes.auditor.kept import KeptResults
from saksi.processes.auditor.launches import NotReplayed
from saksi.processes.auditor.pool import LocalPool
from saksi.processes.auditor.replaying import Replay, scratch_folder
from saksi.proofs.tlog.note_key import NoteSigner

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

    def run(self, *tasks, size=2, turn=lambda _: None, kept=None):
        @contextlib.contextmanager
        def waiting():
            self.most = max(self.most, len(self.workers()))
            yield
            turn(self)

        try:
            return LocalPool(self.place, size, waiting=waiting, kept=kept).run(tasks)
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
    tries = [each for name in ("slowly", "other") for each in os.listdir(workshop.place / name)]
    assert sorted(tries) == ["0", "0", "1"]  # whichever of the two had begun first was killed


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


class Kept:
    """What a pool keeps of tasks, and whether it takes it up: a task that runs again leaves a line."""

    def __init__(self, workshop, folder):
        self.workshop, self.folder = workshop, folder
        self.results = KeptResults(folder / "results", b"secret")
        self.turns = 0

    def run(self, *tasks):
        """Which of the tasks had a worker."""
        self.turns += 1
        self.workshop.place = self.workshop.place.parent / f"{self.workshop.place.name}-{self.turns}"
        self.workshop.place.mkdir()
        try:
            self.found = self.workshop.run(*tasks, kept=self.results)
            return {each.name for each in tasks if (self.workshop.place / each.name / "0").exists()}
        finally:
            shutil.rmtree(self.workshop.place)

    def task(self, code=0, **more):
        return self.workshop.task("a", ENDS.format(code), **more)


@pytest.fixture
def kept(workshop, tmp_path):
    return Kept(workshop, tmp_path)


def test_what_was_kept_is_taken_up_whatever_limits_and_folders_the_audit_has_now(kept):
    assert kept.run(kept.task(3)) == {"a"}
    first = ended(kept.found)
    assert kept.results.count == 1
    other = msgspec.structs.replace(kept.task(3).replay, limit_s=7.0, memory=1 << 40, hidden=(kept.folder,))
    assert kept.run(msgspec.structs.replace(kept.task(3), replay=other)) == set()
    assert ended(kept.found) == first == {"a": (3, "it ended with exit code 3: said", True)}


@pytest.mark.parametrize(
    "changed", [{"more": ("word",)}, {"enough": (1, 9)}, {"recorded_at": "full"}, {"roots_behind": (3,)}]
)
def test_what_was_kept_of_another_task_is_replayed_again(kept, changed):
    kept.run(kept.task())
    assert kept.run(kept.task(**changed)) == {"a"}
    assert kept.run(kept.task(**changed)) == set()


def test_what_is_kept_says_nothing_of_the_words_and_variables_of_a_task(kept):
    kept.run(kept.task(more=("--token=abcdefgh",)))
    files = [each for each in (kept.folder / "results").rglob("*") if each.is_file() and each.parent.name == "a"]
    assert sorted(each.name for each in files) == ["kept.json", "result.json"]
    assert not any(b"abcdefgh" in each.read_bytes() for each in files)


def _another_record(folder):
    next((folder / "replay" / "home" / "runs").glob("*/journal")).write_bytes(b"another")


def _record_more(folder):
    (folder / "replay" / "home" / "more").write_text("put there afterwards")


def _another_key(folder):
    said = json.loads((folder / "kept.json").read_text())
    key = NoteSigner("worker", bytes(32)).vkey
    (folder / "kept.json").write_text(json.dumps(said | {"key": key}))


def _no_record(folder):
    shutil.rmtree(folder / "replay")


def _cut_off(folder):
    (folder / "kept.json").write_bytes((folder / "kept.json").read_bytes()[:-9])


def _no_text(folder):
    (folder / "kept.json").write_bytes(b"\xff\xfe")


def _written_by_others(folder):
    (folder / "kept.json").chmod(0o666)


DAMAGES = [_another_record, _record_more, _another_key, _no_record, _cut_off, _no_text, _written_by_others]


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_was_kept_and_is_not_whole_is_replayed_again(kept, damage):
    kept.run(kept.task())
    damage(kept.folder / "results" / "a")
    assert kept.run(kept.task()) == {"a"}
    assert kept.run(kept.task()) == set()


def test_what_came_to_no_end_is_not_kept(kept):
    gone = Restart(step=9, path="gone.pt", digest="sha256:" + "0" * 64, size=1)
    late = msgspec.structs.replace(kept.workshop.task("late", STAYS).replay, limit_s=3.0)
    kept.run(
        kept.workshop.task("much", STAYS, memory=1 << 20),
        msgspec.structs.replace(kept.workshop.task("late", STAYS), replay=late),
        msgspec.structs.replace(kept.task(), restart=gone),
    )
    assert kept.found["much"].took_more is not None
    assert kept.found["late"].code is None
    assert isinstance(kept.found["a"], Refused)
    assert kept.results.count == 0


def test_what_was_left_half_kept_is_in_nobodys_way(kept):
    half = kept.folder / "results" / "a.part" / "replay" / "home"
    half.mkdir(parents=True)
    (half.parents[1] / "kept.json").write_text("{}")
    assert kept.results.count == 0
    kept.run(kept.task())
    assert os.listdir(kept.folder / "results") == ["a"]
    assert kept.run(kept.task()) == set()


def test_a_record_that_is_too_large_is_not_kept(kept, monkeypatch):
    monkeypatch.setattr("saksi.processes.auditor.kept.MAX_RECORD_BYTES", 1)
    assert kept.run(kept.task()) == {"a"}
    assert kept.results.count == 0


def test_a_disk_that_keeps_nothing_costs_that_alone(kept):
    (kept.folder / "results").write_text("in the way")
    assert kept.run(kept.task(3)) == {"a"}
    assert ended(kept.found) == {"a": (3, "it ended with exit code 3: said", True)}
