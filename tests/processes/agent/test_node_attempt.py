"""What is planned and begun for a launcher is given back whole, or stays with its reason."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import socket

import msgspec
import pytest

from agent_attempt import FakeRecorder
from judgement.seals import plain_seal, plain_seal_file, signed_file
from saksi.edges.clock import SystemClock
from saksi.edges.home import Home
from saksi.edges.keys import open_keyring
from saksi.edges.store.local import LocalStore
from saksi.judgement.seal import make_statement
from saksi.judgement.seal_file import EnvironmentTree
from saksi.processes.agent import node_attempt
from saksi.processes.agent.node_attempt import NOT_OURS, begin, finish
from saksi.processes.agent.node_messages import Begin
from saksi.processes.agent.node_plan import NodeHome, discard, plan
from saksi.processes.agent.quota import Quota
from saksi.proofs.journal import parse_journal
from saksi.words.codec import decode_record
from saksi.words.digest import sha256
from saksi.words.errors import LogBusy, MalformedInput, StoreError, UsageError
from saksi.words.records import (
    ApprovalRecord,
    AttemptKeyRecord,
    EnvironmentRecord,
    ExitRecord,
    GapRecord,
    Peer,
    SealRecord,
)

NEW = Begin(version=1, resume=None)


@pytest.fixture
def place(tmp_path):
    return NodeHome(home=Home(tmp_path / "home"), environment={}, clock=SystemClock(), anchors=(), quota=Quota(None))


@pytest.fixture
def keyring(place):
    return open_keyring(place.home)


@pytest.fixture
def planned(place, keyring, tmp_path):
    """A function that plans an attempt for this process's account."""

    def a_plan(asked=NEW):
        peer = Peer(pid=os.getpid(), uid=os.getuid(), gid=os.getgid())
        return plan(place, keyring, peer, asked, sockets=tmp_path)

    return a_plan


def statement(place, planned, **changed):
    fields = {"run": planned.run, "attempt": planned.number, "created_ns": place.clock.wall_ns(), "name": None}
    return make_statement(msgspec.structs.replace(plain_seal(), **{**fields, **changed}))


def records(folder):
    return [decode_record(each) for each in parse_journal(LocalStore(folder).journal()).entries]


def begun(place, keyring, planned):
    """The attempt of a launcher that leaves before its job starts."""
    control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    control.close()
    try:
        return begin(place, keyring, planned, statement(place, planned), theirs)
    except BaseException:
        theirs.close()
        raise


def end(place, served):
    served.attempt.begin()
    finish(served, home=place.home)


def under(place, keyring, planned, seal_file):
    control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    control.close()
    with contextlib.ExitStack() as on_failure:
        on_failure.callback(theirs.close)
        served = begin(place, keyring, planned, statement(place, planned), theirs, seal_file=seal_file)
        on_failure.pop_all()
    return served


def test_a_seal_file_is_recorded_with_what_differs_before_the_job_starts(place, keyring, planned):
    one = planned()
    end(place, under(place, keyring, one, signed_file(plain_seal_file(kernel="other")).content))
    seal, key, approval, finding = records(one.folder)[:4]
    assert (type(seal), type(key), type(approval)) == (SealRecord, AttemptKeyRecord, ApprovalRecord)
    assert (finding.finding.code, finding.finding.subject) == ("seal.differs", "kernel")


class KeptHook:
    """What an operator would hear; with `fails` it takes nothing."""

    target = "kept"

    def __init__(self, *, fails=False):
        self.documents = []
        self.fails = fails

    def send(self, document):
        if self.fails:
            raise StoreError("hook kept: no", remedy="none")
        self.documents.append(json.loads(document))

    def stop(self):
        pass


@pytest.mark.parametrize(("severity", "told"), [("info", ["seal.differs"]), ("critical", [])])
def test_the_operators_hooks_hear_of_findings_of_every_job(place, keyring, planned, severity, told):
    hook = KeptHook()
    place = msgspec.structs.replace(place, hooks=(hook,), notify_from=severity)
    one = planned()
    end(place, under(place, keyring, one, signed_file(plain_seal_file(kernel="other")).content))
    heard = [each for each in hook.documents if each["finding"]["code"] == "seal.differs"]
    assert [(each["finding"]["code"], each["run"], each["attempt"]) for each in heard] == [
        (code, one.run, 0) for code in told
    ]


def test_a_hook_that_takes_nothing_is_said_in_the_services_log_and_not_to_the_job(place, keyring, planned, caplog):
    place = msgspec.structs.replace(place, hooks=(KeptHook(fails=True),), notify_from="info")
    one = planned()
    served = under(place, keyring, one, signed_file(plain_seal_file(kernel="other")).content)
    served.attempt.begin()
    with caplog.at_level("WARNING"):
        sentence = finish(served, home=place.home)
    assert "not delivered" in caplog.text
    assert "notice" not in sentence


def test_the_environment_of_another_account_is_not_looked_at_and_that_is_recorded(place, keyring, planned):
    one = planned()
    tree = EnvironmentTree(digest=str(sha256(b"tree")), files=3)
    served = under(place, keyring, one, signed_file(plain_seal_file(environment_tree=tree)).content)
    end(place, served)
    (look,) = [each for each in records(one.folder) if isinstance(each, EnvironmentRecord)]
    assert (look.moment, look.tree, look.reason) == ("start", None, NOT_OURS)


def test_what_is_no_seal_file_begins_nothing(place, keyring, planned):
    one = planned()
    with pytest.raises(MalformedInput, match="envelope"):
        under(place, keyring, one, b"{}")
    discard(one)
    assert not one.folder.exists()


def test_a_plan_that_comes_to_nothing_leaves_nothing(planned):
    one = planned()
    discard(one)
    assert not one.folder.exists()
    assert not one.path.exists()


def test_an_attempt_that_is_planned_twice_has_two_doors_and_one_record(place, keyring, planned):
    first = planned()
    end(place, begun(place, keyring, first))
    one, two = (planned(Begin(version=1, resume=first.run)) for _ in range(2))
    assert one.number == two.number == 1
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as recorder:
        recorder.connect(str(one.path))
    served = begun(place, keyring, one)
    with pytest.raises(LogBusy):
        begun(place, keyring, two)
    discard(two)
    assert one.path.exists()
    end(place, served)
    assert not one.path.exists()
    assert first.folder.exists()


def test_an_attempt_that_cannot_be_watched_keeps_its_record_and_gives_its_lock_back(
    place, keyring, planned, monkeypatch
):
    def fail(*given, **named):
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(node_attempt, "WatchedAttempt", fail)
    one = planned()
    with pytest.raises(OSError, match="Too many"):
        begun(place, keyring, one)
    discard(one)
    seal, key, gap = records(one.folder)
    assert (type(seal), type(key), type(gap)) == (SealRecord, AttemptKeyRecord, GapRecord)
    assert "could not watch" in gap.reason
    store = LocalStore(one.folder)
    store.lock()
    store.close()


def test_frames_that_are_not_kept_as_an_attempt_closes_are_told_of_in_each_attempt(place, keyring, planned):
    place = msgspec.structs.replace(place, quota=Quota(20_000_000))
    first = planned()
    for number in range(2):
        one = first if number == 0 else planned(Begin(version=1, resume=first.run))
        place.quota.measured(0)
        served = begun(place, keyring, one)
        recorder = FakeRecorder(one.path, one.token)
        recorder.hello()
        recorder.update(0)
        served.attempt.begin()
        served.attempt.react()
        place.quota.measured(19_000_000)
        finish(served, home=place.home)
        recorder.close()
        told = [each.attempt for each in records(one.folder) if isinstance(each, GapRecord) and "quota" in each.reason]
        assert told == list(range(number + 1))
        assert isinstance(records(one.folder)[-1], ExitRecord)


@pytest.mark.parametrize("name", ["last", "00112233445566ff", "", "x" * 101, "a\x1b[2Jb", "\u202e", "a/b"])
@pytest.mark.parametrize("field", ["name", "project"])
def test_a_seal_whose_name_would_hide_other_runs_is_refused(place, keyring, planned, name, field):
    one = planned()
    with pytest.raises(UsageError, match=field):
        begin(place, keyring, one, statement(place, one, **{field: name}), None)
    discard(one)
    assert not one.folder.exists()
