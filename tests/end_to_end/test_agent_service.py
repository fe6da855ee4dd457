"""The agent as a service, with real accounts: the job's, the agent's, and a third. None has rights of root."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import zlib

import pytest

from accounts import AGENT, JOB, OTHER, Accounts, Service, wait_until
from saksi.words.records import (
    AttachRecord,
    AttemptKeyRecord,
    ExitRecord,
    FileRecord,
    GapRecord,
    ProcessRecord,
    RefusedRecord,
)
from torch_loaded import LOADED

pytestmark = [
    pytest.mark.training,
    pytest.mark.slow,
    pytest.mark.timeout(400),
    # Never for root, which is what .ci/run has: there these tests must run.
    pytest.mark.skipif(os.geteuid() != 0, reason="processes of several accounts can only be started by root"),
]

TRAIN = (
    LOADED
    + """
import os, sys, time, torch
torch.manual_seed(0)
model = torch.nn.Linear(4, 1)
optimizer = torch.optim.AdamW(model.parameters())
for step in range(12):
    model(torch.ones(2, 4)).square().mean().backward()
    optimizer.step()
    optimizer.zero_grad()
    if step == 5 and len(sys.argv) > 1:
        with open("token", "w") as file:
            file.write(os.environ["SAKSI_SOCKET"] + " " + os.environ["SAKSI_TOKEN"])
        open("half", "w").close()
        while not os.path.exists("go"):
            time.sleep(0.02)
"""
)
SAVE = (
    TRAIN
    + """
os.umask(0o022)
torch.save(model.state_dict(), sys.argv[2] + "/open.pt")
os.umask(0o077)
torch.save(model.state_dict(), sys.argv[2] + "/private.pt")
time.sleep(0.5)
"""
)


@pytest.fixture(scope="module")
def accounts():
    made = Accounts()
    yield made
    made.remove()


@pytest.fixture
def service(accounts, request):
    started = Service(accounts, f"node{zlib.crc32(request.node.name.encode()):08x}")
    yield started
    started.end()


class Halfway:
    """A training job of `uid` that waits after six steps until it is told to go on."""

    def __init__(self, service, uid, name, *, script=TRAIN, arguments=()):
        self.folder = service.accounts.home_of(uid) / name
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir()
        (self.folder / "train.py").write_text(script)
        os.chown(self.folder, uid, uid)
        self.process = service.saksi(
            uid, "run", "--name", name, "--", service.accounts.python, "train.py", "wait", *arguments,
            popen=True, cwd=self.folder, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        wait_until(lambda: (self.folder / "half").exists() or self.process.poll() is not None)
        assert self.process.poll() is None, self.process.communicate()[1]

    @property
    def socket_and_token(self):
        return (self.folder / "token").read_text().split()

    def finish(self):
        (self.folder / "go").touch()
        _, said = self.process.communicate(timeout=120)
        return self.process.returncode, said


def test_another_account_records_a_job_and_says_what_it_cannot_see(service):
    public = service.accounts.folder / "models"
    public.mkdir(exist_ok=True)
    os.chown(public, JOB, JOB)
    job = Halfway(service, JOB, "whole", script=SAVE, arguments=[public])
    code, said = job.finish()
    assert code == 0, said
    assert f"witnessed by the agent of account {AGENT}" in said
    assert "12 of 12 steps witnessed" in said
    (folder,) = service.runs()
    (key,) = service.records(folder, AttemptKeyRecord)
    assert (key.agent.form, key.agent.level, key.agent.uid, key.agent.account) == ("service", 2, AGENT, JOB)
    assert key.agent.launcher.uid == JOB
    assert key.agent.launcher_started_ticks > 0
    assert set(key.agent.not_checkable) == {"environ", "exe", "maps"}
    assert all("permission" in reason for reason in key.agent.not_checkable.values())
    files = {os.path.basename(each.path): each for each in service.records(folder, FileRecord)}
    assert files["open.pt"].digest is not None
    assert files["private.pt"].digest is None
    assert "permission" in files["private.pt"].reason
    (ended,) = service.records(folder, ExitRecord)
    assert (ended.code, ended.left_running) == (0, 0)
    attached = [each for each in service.records(folder, ProcessRecord) if each.attached]
    assert attached[0].uid == JOB
    assert attached[0].executable is None
    shown = service.json("show", "last")
    assert shown["evidence"]["level"] == 2
    assert "own account could have rewritten" not in shown["evidence"]["sentence"]
    assert service.read("verify", "last").returncode in (0, 3)
    report = service.json("findings", "last")
    assert {each["code"] for each in report["items"]} == {"ckpt.not_checkable"}


ATTACKS = """
import ctypes, os, signal, socket, sys
agent, home, place = int(sys.argv[1]), sys.argv[2], sys.argv[3]
libc = ctypes.CDLL(None, use_errno=True)
def ptrace():
    if libc.ptrace(16, agent, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "ptrace")
def bind_over():
    os.unlink(place)
attacks = {
    "list": lambda: os.listdir(home),
    "read key": lambda: open(home + "/keys/installation.seed").read(),
    "write": lambda: open(home + "/x", "w"),
    "memory": lambda: open(f"/proc/{agent}/mem", "r+b"),
    "environment": lambda: open(f"/proc/{agent}/environ", "rb").read(),
    "files": lambda: os.listdir(f"/proc/{agent}/fd"),
    "ptrace": ptrace,
    "stop": lambda: os.kill(agent, signal.SIGSTOP),
    "kill": lambda: os.kill(agent, signal.SIGKILL),
    "socket": bind_over,
    "beside the socket": lambda: open(os.path.dirname(place) + "/x", "w"),
    "priority": lambda: os.sched_setaffinity(agent, {0}),
    "limits": lambda: __import__("resource").prlimit(agent, 7, (1, 1)),
}
for name, attack in attacks.items():
    try:
        attack()
    except PermissionError:
        continue
    except OSError as error:
        print(name, error)
        continue
    print(name, "succeeded")
"""


def test_the_job_cannot_read_rewrite_or_stop_the_record(service):
    job = Halfway(service, JOB, "attacked")
    attack = (service.accounts.python, "-c", ATTACKS, service.process.pid, service.home, service.socket)
    for account in (JOB, OTHER):
        done = service.accounts.run(account, *attack)
        assert (done.stdout, done.returncode) == ("", 0), done.stderr
    assert service.process.poll() is None
    code, said = job.finish()
    assert code == 0, said
    assert "12 of 12 steps witnessed, nothing found" in said


SPEAK = """
import socket, sys
place, token = sys.argv[1:]
s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
s.connect(place)
try:
    s.send(b"saksi-knock/v1 " + token.encode())
    s.settimeout(10)
    assert s.recv(1) == b""
except OSError:
    pass
"""


def test_a_stolen_token_is_refused_for_another_account_and_recorded(service):
    job = Halfway(service, JOB, "stolen")
    for account in (OTHER, AGENT):
        done = service.accounts.run(account, service.accounts.python, "-c", SPEAK, *job.socket_and_token)
        assert done.returncode == 0, done.stderr
    code, said = job.finish()
    assert code == 0, said
    (folder,) = service.runs()
    refused = service.records(folder, RefusedRecord)
    assert [each.peer.uid for each in refused] == [OTHER, AGENT]
    assert all("is not the job's account" in each.reason for each in refused)
    assert {each.peer.uid for each in service.records(folder, AttachRecord)} == {JOB}
    assert "witness.peer_refused" in {each["code"] for each in service.json("findings", "last")["items"]}


def test_two_accounts_train_at_once_and_neither_reads_the_others_run(service):
    one, two = Halfway(service, JOB, "one"), Halfway(service, OTHER, "two")
    assert one.socket_and_token[0] != two.socket_and_token[0]
    assert one.socket_and_token[1] != two.socket_and_token[1]
    for each in (one, two):
        code, said = each.finish()
        assert code == 0, said
        assert "12 of 12 steps witnessed, nothing found" in said
    assert len(service.runs()) == 2
    accounts = [service.records(folder, AttemptKeyRecord)[0].agent.account for folder in service.runs()]
    assert sorted(accounts) == [JOB, OTHER]
    assert service.read("runs").returncode == 0
    vkey = service.read("keys", "export").stdout
    (one.folder / "node.vkey").write_text(vkey)
    copy = one.folder / "run.saksi"
    own = service.saksi(JOB, "bundle", "one", "--from-agent", "-o", copy)
    assert own.returncode == 0, own.stderr
    verified = service.saksi(JOB, "verify", copy, "--trust", one.folder / "node.vkey")
    assert verified.returncode == 0, verified.stdout + verified.stderr
    assert f"account {AGENT}" in verified.stdout
    for stranger, wanted in ((JOB, "two"), (OTHER, "one"), (JOB, "last-but-not-mine")):
        denied = service.saksi(stranger, "bundle", wanted, "--from-agent", "-o", "stolen.saksi")
        assert denied.returncode == 2, denied.stderr
        assert "no run" in denied.stderr


def test_the_agent_is_killed_and_training_goes_on(service):
    job = Halfway(service, JOB, "orphan")
    service.process.kill()
    service.process.wait()
    code, said = job.finish()
    assert code == 0, said
    assert "is gone" in said
    (folder,) = service.runs()
    assert service.records(folder, ExitRecord) == []
    assert service.json("findings", "last")["verdict"] == "unknown"
    assert service.read("findings", "last").returncode == 3
    again = Service(service.accounts, service.root.name, home=service.home)
    try:
        job = Halfway(again, JOB, "orphan2")
        assert job.finish()[0] == 0
        assert len([each for each in again.socket.parent.iterdir() if each.name.startswith("jobs-")]) == 1
    finally:
        again.end()


def test_an_agent_that_is_told_to_end_makes_way_and_finishes_its_jobs(service):
    job = Halfway(service, JOB, "upgrade")
    second = service.saksi(AGENT, "agent", "--home", service.home, "--socket", service.socket)
    assert second.returncode == 4
    assert "another agent listens" in second.stderr
    service.process.send_signal(signal.SIGTERM)
    wait_until(lambda: not service.socket.exists())
    following = Service(service.accounts, service.root.name, home=service.home)
    try:
        newer = Halfway(following, JOB, "newer")
        assert job.finish()[0] == 0
        assert service.process.wait(60) == 0
        assert following.socket.exists()
        assert newer.finish()[0] == 0
    finally:
        following.end()
    ended = [following.records(folder, ExitRecord) for folder in following.runs()]
    assert [len(each) for each in ended] == [1, 1]


def test_an_agent_that_is_told_twice_ends_at_once_and_says_that_it_did(service):
    job = Halfway(service, JOB, "twice")
    service.process.send_signal(signal.SIGTERM)
    wait_until(lambda: not service.socket.exists())
    assert service.process.poll() is None
    service.process.send_signal(signal.SIGTERM)
    assert service.process.wait(30) == 0
    assert job.finish()[0] == 0
    (folder,) = service.runs()
    assert "told to end at once" in service.records(folder, GapRecord)[-1].reason
    assert service.records(folder, ExitRecord) == []
    assert service.read("verify", "last").returncode == 3


def test_a_process_that_hides_from_the_recorder_is_not_checkable_and_a_shell_is_no_riddle(service):
    home = service.accounts.home_of(JOB)
    (home / "hidden.py").write_text(TRAIN)
    script = f'"{service.accounts.python}" -I -c "{_isolated(service)}" ; sleep 2'
    done = service.saksi(JOB, "run", "--", "sh", "-c", script)
    assert done.returncode == 0, done.stderr
    (folder,) = service.runs()
    seen = [each for each in service.records(folder, ProcessRecord) if each.event == "seen"]
    assert [each.torch for each in seen if "-I" in each.command and each.command[0] != "sh"] == [None]
    assert [each.torch for each in seen if each.command[0] == "sh"] == [False]
    report = service.json("findings", "last")
    found = [each for each in report["items"] if each["code"] == "coverage.process_not_checkable"]
    assert len(found) == 1
    assert report["coverage"]["complete"] is False


def _isolated(service):
    paths = service.accounts.path.split(os.pathsep)
    return f"import sys; sys.path[:0] = {paths!r}; sys.argv = ['x']; exec(open('hidden.py').read())"


def test_a_job_in_another_pid_namespace_is_followed_under_the_ids_of_the_node(service):
    home = service.accounts.home_of(JOB)
    script = TRAIN + '\nprint("pid", os.getpid())\ntime.sleep(1)\n'
    (home / "contained.py").write_text(script)
    done = subprocess.run(
        ["unshare", "--pid", "--fork", "--mount-proc", "setpriv", f"--reuid={JOB}", f"--regid={JOB}", "--clear-groups",
         service.accounts.python, "-m", "saksi.doors.main", "run", "--", service.accounts.python, "contained.py"],
        env=service.accounts.environment(JOB, SAKSI_AGENT=str(service.socket)), cwd=home,
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    inside = int(done.stdout.split()[1])
    assert inside < 100
    assert "12 of 12 steps witnessed, nothing found" in done.stderr
    (folder,) = service.runs()
    (attached,) = service.records(folder, AttachRecord)
    (ended,) = service.records(folder, ExitRecord)
    assert ended.pid == attached.peer.pid != inside
    assert {each.uid for each in service.records(folder, ProcessRecord)} == {JOB}


def test_a_service_that_is_named_and_absent_leaves_an_embedded_agent_or_with_require_none(service):
    nowhere = {"SAKSI_AGENT": str(service.root / "nobody.sock")}
    done = service.saksi(JOB, "run", "--", "true", added=nowhere)
    assert done.returncode == 0
    assert "is not used" in done.stderr
    assert "witnessed" in done.stderr
    required = service.saksi(JOB, "run", "--require", "--", "true", added=nowhere)
    assert required.returncode == 125
    anchored = service.saksi(JOB, "run", "--anchor", "true", "--", "true")
    assert anchored.returncode == 2
    assert service.runs() == []


def test_limits_and_a_used_up_quota_are_said_and_the_run_goes_on_without_them(accounts):
    settings = "quota_bytes = 17_000_000\nattempts_per_account = 1\nmax_attempts = 2\n"
    service = Service(accounts, "limits", settings=settings)
    try:
        job = Halfway(service, JOB, "limited")
        second = service.saksi(JOB, "run", "--require", "--", "true")
        assert second.returncode == 125
        assert "1 jobs of this account" in second.stderr
        other = service.saksi(OTHER, "run", "--", "true")
        assert "witnessed by the agent" in other.stderr
        assert job.finish()[0] == 0
        (service.home / "ballast").write_bytes(b"x" * 17_000_000)
    finally:
        service.end()
    service = Service(accounts, "limits", home=service.home)
    try:
        wait_until(lambda: service.saksi(JOB, "run", "--require", "--", "true").returncode == 125)
        assert "the quota of the agent's home is used up" in service.saksi(JOB, "run", "--", "true").stderr
    finally:
        service.end()


def whole_lines(path):
    """Of a file that somebody still writes."""
    return path.read_text().split("\n")[:-1] if path.exists() else []


def test_the_operator_hears_of_what_is_found_in_a_job_and_the_job_does_not(accounts):
    heard = accounts.home_of(AGENT) / "heard.jsonl"
    service = Service(
        accounts, "notified", settings=f'[notify]\ncommand = ["{shutil.which("tee")}", "-a", "{heard}"]\n'
    )
    try:
        killed = TRAIN + "\nimport signal\nos.kill(os.getpid(), signal.SIGKILL)\n"
        code, said = Halfway(service, JOB, "killed", script=killed).finish()
        assert code == 128 + signal.SIGKILL
        wait_until(lambda: any("availability.killed" in each for each in whole_lines(heard)))
        notices = [json.loads(each) for each in whole_lines(heard)]
        assert {each["name"] for each in notices} == {"killed"}
        assert "availability.killed" in {each["finding"]["code"] for each in notices}
        assert heard.stat().st_uid == AGENT
        assert "notice" not in said
    finally:
        service.end()


def test_a_run_is_resumed_by_its_own_account_alone(service):
    job = Halfway(service, JOB, "again")
    assert job.finish()[0] == 0
    stranger = service.saksi(OTHER, "run", "--resume", "again", "--", "true")
    assert stranger.returncode == 2
    assert "no run" in stranger.stderr
    own = service.saksi(JOB, "run", "--resume", "again", "--", "true")
    assert own.returncode == 0, own.stderr
    assert "attempt 1" in own.stderr
    (folder,) = service.runs()
    assert [each.agent.level for each in service.records(folder, AttemptKeyRecord)] == [2, 2]
    assert service.json("show", "again")["evidence"]["level"] == 2


def test_a_hostile_launcher_gets_one_line_and_the_agent_goes_on(service):
    script = """
import json, os, socket, sys
for packet in (b"", b"x", b"{}", b"x" * 100_000, b'{"type":"begin","version":9,"resume":null}',
               b'{"type":"fetch","version":1,"run":"../../etc"}',
               b'{"type":"begin","version":1,"resume":"0000000000000000"}'):
    s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    s.settimeout(20)
    s.connect(sys.argv[1])
    if packet:
        s.send(packet)
        assert json.loads(s.recv(65536))["type"] == "refused", packet
    s.close()
s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
s.settimeout(20)
s.connect(sys.argv[1])
s.send(b'{"type":"begin","version":1,"resume":null}')
assert json.loads(s.recv(65536))["type"] == "prepared"
s.send(b'{"type":"content","size":2,"digest":"sha256:' + b"0" * 64 + b'"}')
s.send(b"{}")
assert json.loads(s.recv(65536))["why"] == "malformed"
"""
    done = service.accounts.run(JOB, service.accounts.python, "-c", script, service.socket)
    assert done.returncode == 0, done.stderr
    assert service.runs() == []
    assert "Traceback" not in service.said()
    assert service.saksi(JOB, "run", "--require", "--", "true").returncode == 0


def test_a_job_whose_processes_the_agent_cannot_see_is_recorded_and_that_is_said(accounts):
    """The agent in a pid namespace of its own: the launcher's id is 0 there."""
    hidden = Service(accounts, "hidden", contained=True)
    try:
        job = Halfway(hidden, JOB, "unseen")
        code, said = job.finish()
        assert code == 0, said
        (folder,) = hidden.runs()
        (key,) = hidden.records(folder, AttemptKeyRecord)
        assert key.agent.launcher.pid == 0
        assert set(key.agent.not_checkable) == {"processes"}
        assert "not visible" in hidden.records(folder, GapRecord)[0].reason
        assert hidden.records(folder, ExitRecord)[0].code == 0
        report = hidden.json("findings", "last")
        assert report["coverage"]["steps_witnessed"] == 12
        assert report["coverage"]["complete"] is False
    finally:
        hidden.end()
