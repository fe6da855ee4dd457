"""A launch held to a seal file, as a user sees it. The script trains nothing: what is approved is decided before."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from edges.environment.repositories import git, make_repository
from judgement.seals import JOSE, MARIA
from saksi.doors.cli.reading import judged, open_reading
from saksi.doors.launch.sealing import make_seal_file
from saksi.edges.approver_keys import trust_approver
from saksi.edges.home import Home as SaksiHome
from saksi.edges.seal_files import write_seal_file
from saksi.edges.store.local import LocalStore
from saksi.judgement.approvals import add_signature
from saksi.judgement.seal_file import format_seal_file
from saksi.judgement.verdict import verdict_sentence
from saksi.words.blobs import blob_name
from saksi.words.digest import Digest
from saksi.words.records import ApprovalRecord, AttemptKeyRecord, ExitRecord, FindingRecord, SealRecord
from saksi_run import SAKSI, Home, agents_alive

SCRIPT = "import os\nopen('started', 'w').close()\n"


class Project:
    """A project in git, its approver, and a home that knows her."""

    def __init__(self, folder: Path):
        self.home = Home(folder)
        self.folder = make_repository(folder / "project")
        self.command = (sys.executable, "train.py")
        self.environment = self.home.environment
        self.write("train.py", SCRIPT)
        self.write(".gitignore", "started\n")
        git(self.folder, "commit", "-qam", "the experiment")
        (folder / "maria.vkey").write_text(f"{MARIA.vkey}\n")
        trust_approver(SaksiHome(folder / "home"), folder / "maria.vkey")

    def write(self, name, text):
        (self.folder / name).write_text(text)

    def seal(self, name="run.seal", *, by=(MARIA,), **environment):
        signed = make_seal_file(
            self.command, {**self.environment, **environment}, self.folder, name=None, project=None,
            now_ns=time.time_ns(),
        )  # fmt: skip
        for each in by:
            signed = add_signature(signed, each)
        write_seal_file(self.folder / name, signed)
        return signed

    def run(self, *options, seal="run.seal", **environment):
        self.started.unlink(missing_ok=True)
        return self.home.run(
            "run", "--seal", seal, *options, "--", *self.command, cwd=self.folder,
            env={**self.environment, **environment},
        )  # fmt: skip

    @property
    def started(self):
        return self.folder / "started"

    def judged(self, home="home"):
        """What `show` and `findings` say of the last run."""
        os.environ["SAKSI_HOME"] = str(self.home.folder / home)
        return judged(open_reading("last"))

    def found(self):
        items = self.judged().report.items
        return [(each.code, each.severity, each.subject) for each in items if each.check == "seal"]

    def sentence(self):
        return verdict_sentence(self.judged()).text


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.setenv("SAKSI_HOME", str(tmp_path / "home"))
    project = Project(tmp_path)
    yield project
    deadline = time.monotonic() + 10
    while agents_alive(project.home) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert agents_alive(project.home) == []


def test_an_approved_launch_runs_alleges_nothing_and_carries_its_file(project):
    signed = project.seal()
    done = project.run("--require")
    assert done.returncode == 0, done.stderr
    assert f": approved by {MARIA.key.label}; witnessed; " in done.stderr
    assert project.started.exists()
    seal, key, approval = project.home.records()[:3]
    assert (type(seal), type(key), type(approval)) == (SealRecord, AttemptKeyRecord, ApprovalRecord)
    assert approval.envelope == str(signed.digest)
    store = LocalStore(project.home.runs()[-1])
    assert store.read(blob_name(Digest.parse(approval.envelope))) == (project.folder / "run.seal").read_bytes()
    assert project.found() == []
    assert "seal not approved" not in project.sentence()
    assert "environment not verified" in project.sentence()


def test_an_edited_script_is_a_finding_before_anything_else_is_recorded(project):
    project.seal()
    project.write("train.py", f"{SCRIPT}# edited\n")
    done = project.run()
    assert done.returncode == 0, done.stderr
    assert f"approved by {MARIA.key.label}, 2 differences from it; witnessed" in done.stderr
    assert project.started.exists()
    records = project.home.records()
    found = [(at, each.finding) for at, each in enumerate(records) if isinstance(each, FindingRecord)]
    assert [at for at, each in found if each.check == "seal"] == [3, 4]
    assert ("seal.differs", "warning", "train.py") in project.found()
    assert project.judged().report.verdict == "affected"
    compared = project.home.run("seal", "diff", "run.seal", "last", cwd=project.folder)
    assert compared.returncode == 1
    assert "train.py line 3 changed" in compared.stdout


def test_with_require_the_command_is_not_started_and_every_reason_is_said(project):
    project.seal(by=())
    project.write("train.py", f"{SCRIPT}# edited\n")
    done = project.run("--require", OMP_NUM_THREADS="3")
    assert (done.returncode, done.stdout) == (5, "")
    assert not project.started.exists()
    lines = done.stderr.splitlines()
    assert all(each.startswith("saksi: not started: ") for each in lines)
    run = project.home.runs()[-1].name
    assert [each.removeprefix("saksi: not started: ").partition(":")[0] for each in lines[:3]] == [
        "train.py",
        "train.py",
        "OMP_NUM_THREADS",
    ]
    assert lines[2].endswith(f"(all of it: saksi seal diff run.seal {run})")
    assert "no approver whose key is trusted here signed run.seal (saksi seal approve run.seal --key KEY" in lines[3]
    (ended,) = [each for each in project.home.records() if isinstance(each, ExitRecord)]
    assert (ended.code, ended.signal) == (None, None)
    assert "not what was approved" in ended.reason


@pytest.mark.parametrize(
    ("signers", "found"),
    [
        ((), [("seal.not_approved", "info", "attempt 0")]),
        ((JOSE,), [("seal.not_approved", "info", "attempt 0"), ("seal.signature_unknown", "info", JOSE.key.label)]),
    ],
)
def test_without_an_approvers_signature_it_runs_and_is_not_approved(project, signers, found):
    project.seal(by=signers)
    done = project.run()
    assert done.returncode == 0
    assert "run.seal is not approved; witnessed" in done.stderr
    assert project.found() == found
    assert "seal not approved" in project.sentence()
    assert project.run("--require").returncode == 5
    assert not project.started.exists()


@pytest.mark.parametrize("content", [None, "no key\n"])
def test_keys_of_approvers_that_cannot_be_read_stop_no_launch_and_approve_none(project, content):
    project.seal()
    (key,) = Path(project.environment["SAKSI_HOME"], "keys", "approvers").glob("*.vkey")
    key.unlink()
    if content is None:
        key.mkdir()
    else:
        key.write_text(content)
    done = project.run()
    assert (done.returncode, project.started.exists()) == (0, True), done.stderr
    assert "run.seal is not approved; witnessed" in done.stderr
    project.started.unlink()
    assert project.run("--require").returncode == 5
    assert not project.started.exists()


def test_an_upgraded_package_is_named_and_alleges_nothing_once_it_is_approved_anew(project, tmp_path):
    def install(version):
        shutil.rmtree(tmp_path / "packages", ignore_errors=True)
        info = tmp_path / "packages" / f"lib-{version}.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: lib\nVersion: {version}\n")

    path = {"PYTHONPATH": os.pathsep.join(filter(None, (str(tmp_path / "packages"), os.environ.get("PYTHONPATH"))))}
    install("1.0")
    project.seal(**path)
    assert project.run("--require", **path).returncode == 0
    install("1.1")
    refused = project.run("--require", **path)
    assert refused.returncode == 5
    assert "lib: lib is 1.1, not 1.0." in refused.stderr
    project.seal("new.seal", **path)
    done = project.run("--require", seal="new.seal", **path)
    assert done.returncode == 0, done.stderr
    assert project.found() == []


def test_the_first_run_s_own_output_is_not_held_against_the_second(project):
    project.write("train.py", "open('ckpt.pt', 'w').write('weights')\nopen('log.txt', 'a').write('x')\n")
    git(project.folder, "commit", "-qam", "writes")
    project.seal()
    for _ in range(2):
        done = project.run("--require", SHLVL="9", SSH_CLIENT="10.0.0.1", MY_TOKEN="x")
        assert done.returncode == 0, done.stderr
    assert {severity for _, severity, _ in project.found()} == {"info"}


@pytest.mark.parametrize("damage", ["absent", "folder", "not a seal file", "one byte", "edited", "another kind"])
def test_a_file_that_cannot_be_held_to_ends_the_launch_before_anything(project, damage):
    signed, path = project.seal(), project.folder / "run.seal"
    if damage == "absent":
        path.unlink()
    elif damage == "folder":
        path.unlink()
        path.mkdir()
    elif damage == "not a seal file":
        path.write_text("hello")
    elif damage == "one byte":
        path.write_bytes(signed.content[:100] + b"#" + signed.content[101:])
    elif damage == "edited":
        other = project.seal("other.seal", OMP_NUM_THREADS="9")
        forged = type(other.envelope)(
            payload_type=other.envelope.payload_type,
            payload=other.envelope.payload,
            signatures=signed.envelope.signatures,
        )
        path.write_bytes(format_seal_file(forged).content)
    else:
        path.write_bytes(b'{"payload":"e30=","payloadType":"application/vnd.in-toto+json","signatures":[]}\n')
    done = project.run()
    assert done.returncode == 2
    assert done.stderr.startswith("saksi: --seal run.seal: ")
    assert done.stderr.count("\n") == 1
    assert not project.started.exists()
    assert project.home.runs() == []


def test_each_attempt_of_a_run_has_its_own_approval(project):
    project.seal()
    assert project.run("--name", "twice").returncode == 0
    assert project.run("--resume", "twice", "--require").returncode == 0
    assert sum(isinstance(each, ApprovalRecord) for each in project.home.records()) == 2
    assert "seal not approved" not in project.sentence()
    again = project.home.run("run", "-q", "--resume", "twice", "--", *project.command, cwd=project.folder)
    assert again.returncode == 0
    assert project.found() == [("seal.not_approved", "info", "attempt 2")]


def test_without_a_witness_it_runs_and_says_that_nothing_was_compared(project, tmp_path):
    project.seal()
    (tmp_path / "file").write_text("no folder")
    done = project.run(SAKSI_HOME=str(tmp_path / "file" / "home"))
    assert done.returncode == 0
    assert "NOT witnessed and not compared with the seal file: " in done.stderr
    assert project.run("--require", SAKSI_HOME=str(tmp_path / "file" / "home")).returncode == 125
    assert not project.started.exists()


@pytest.fixture
def agent(tmp_path):
    """The agent of a node, here under the same account."""
    folder = Path(tempfile.mkdtemp(prefix="saksi-", dir="/tmp"))  # short: the path of a socket has 107 bytes
    process = subprocess.Popen(
        [*SAKSI, "agent", "--home", str(tmp_path / "node"), "--socket", str(folder / "agent.sock")],
        stderr=subprocess.PIPE,
        text=True,
    )
    lines = iter(process.stderr)
    assert any("listening at" in line for line in lines)
    yield folder / "agent.sock"
    process.terminate()
    process.communicate(timeout=30)
    shutil.rmtree(folder, ignore_errors=True)


def test_the_agent_of_a_node_gets_the_file_and_finds_what_differs(project, agent):
    project.seal()
    served = {"SAKSI_AGENT": str(agent)}
    done = project.run("--require", **served)
    assert done.returncode == 0, done.stderr
    assert f"approved by {MARIA.key.label}; witnessed by the agent of account" in done.stderr
    project.write("train.py", f"{SCRIPT}# edited\n")
    assert project.run("--require", **served).returncode == 5
    assert not project.started.exists()
    assert project.run(**served).returncode == 0
    assert {each.code for each in project.judged("node").report.items if each.check == "seal"} == {
        "seal.differs",
        "seal.not_approved",  # the agent's home knows neither the approver nor who made the file
        "seal.signature_unknown",
    }
