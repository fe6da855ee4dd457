"""The scribe: nothing that is written blocks what is behind it, and a failure is told once."""

from __future__ import annotations

import errno
import os

import msgspec
import pytest

from log_soundness import assert_log_sound
from saksi.edges.store import local
from saksi.edges.store.local import LocalStore
from saksi.processes.agent import scribe as scribe_module
from saksi.processes.agent.budget import ByteBudget
from saksi.processes.agent.live import LiveChecks
from saksi.processes.agent.scribe import Scribe
from saksi.processes.agent.sequencer import Sequencer
from saksi.proofs.journal import parse_journal
from saksi.proofs.tlog.note import NoteSigner
from saksi.words.codec import decode_record
from saksi.words.errors import MalformedInput, StoreError
from saksi.words.findings import Finding
from saksi.words.limits import MAX_ENTRY_BYTES
from saksi.words.records import (
    AttachRecord,
    AttemptKeyRecord,
    FindingRecord,
    GapRecord,
    Peer,
    ProcessRecord,
    RefusedRecord,
    SignalRecord,
)

RUN = "00112233445566ff"
ORIGIN = f"saksi/run/{RUN}"
LONG = "\1" * 8_000
PEER = Peer(pid=1, uid=1, gid=1)


class StoppedClock:
    boot = "boot"

    def wall_ns(self):
        return 1

    def mono_ns(self):
        return 1


@pytest.fixture
def store(tmp_path):
    made = LocalStore(tmp_path / "run")
    yield made
    made.close()


def scribe_of(store, **given):
    signer = NoteSigner(ORIGIN, b"\7" * 32)
    return Scribe(
        run=RUN,
        attempt=0,
        clock=StoppedClock(),
        store=store,
        open_log=lambda: Sequencer.open(store, ORIGIN, signer, ()),
        checks=LiveChecks(),
        **given,
    )


@pytest.fixture
def scribe(store):
    return scribe_of(store)


def records(store):
    return [decode_record(each) for each in parse_journal(store.journal()).entries]


def signal(scribe, name):
    return SignalRecord(signal=name, forwarded=False, sender=None, **scribe.stamp())


def finding(**changed):
    fields = {"code": "coverage.gap", "severity": "info", "first_step": None, "last_step": None, "ranks": ()}
    return Finding(**{**fields, "subject": "s", "check": "c", "message": "m", **changed})


def process(scribe, **changed):
    fields = {
        "event": "seen", "pid": 1, "ppid": 1, "started_ticks": 1, "executable": "/x", "command": ["x"], "uid": 0,
        "torch": None, "attached": False, "forked": False,
    }  # fmt: skip
    return ProcessRecord(**{**fields, **changed}, **scribe.stamp())


def test_a_finding_that_does_not_fit_is_cut(scribe, store):
    scribe.write(FindingRecord(finding=finding(subject=LONG, message=LONG, evidence=(7,)), **scribe.stamp()))
    scribe.write(signal(scribe, "after"))
    assert scribe.commit()
    cut, after = records(store)
    assert cut.finding.message.startswith("\1" * 100)
    assert cut.finding.evidence == (7,)
    assert after.signal == "after"


def test_a_command_that_does_not_fit_is_cut(scribe, store):
    scribe.write(process(scribe, command=["python", *["\1" * 2_000] * 63], executable="\udcff"))
    assert scribe.commit()
    (cut,) = records(store)
    assert cut.command[0] == "python"
    assert cut.executable == "\\udcff"


@pytest.mark.parametrize(
    ("changed", "kind"),
    [
        ({"signal": "x" * 5_000, "forwarded": False, "sender": None}, SignalRecord),
        ({"signal": "\udcff", "forwarded": False, "sender": None}, SignalRecord),
        ({"connection": 0, "peer": PEER, "rank": 0, "claimed": msgspec.Raw(b' {"a":1}')}, AttachRecord),
        ({"connection": 0, "peer": PEER, "rank": 0, "claimed": msgspec.Raw(b"{}" * 40_000)}, AttachRecord),
        ({"connection": -1, "peer": None, "rank": None, "reason": "", "sample": "", "count": 0}, RefusedRecord),
        ({"signal": object(), "forwarded": False, "sender": None}, SignalRecord),
    ],
)
def test_a_record_that_is_no_readable_entry_becomes_a_gap_that_names_its_kind(scribe, store, changed, kind):
    scribe.write(kind(**changed, **scribe.stamp()))
    scribe.write(signal(scribe, "after"))
    assert scribe.commit()
    gap, after = records(store)
    assert isinstance(gap, GapRecord)
    assert kind.__struct_config__.tag in gap.reason
    assert after.signal == "after"


def test_a_key_that_cannot_be_written_is_an_error(scribe):
    with pytest.raises(MalformedInput):
        scribe.write(AttemptKeyRecord(envelope="x" * (MAX_ENTRY_BYTES + 1), **scribe.stamp()))


def failing_append(monkeypatch, store, times):
    real = store.append

    def append(frame):
        if times:
            times.pop()
            raise StoreError("the disk is full")
        real(frame)

    monkeypatch.setattr(store, "append", append)


def test_a_log_that_fails_for_long_is_one_gap(scribe, store, monkeypatch):
    failing_append(monkeypatch, store, [1] * 10)
    scribe.write(signal(scribe, "before"))
    for _ in range(10):
        assert not scribe.commit()
        assert scribe.waiting <= 2
    assert scribe.commit()
    assert scribe.problem is None
    scribe.write(signal(scribe, "after"))
    assert scribe.commit()
    gap, *rest = records(store)
    assert "disk is full" in gap.reason
    assert [each.signal for each in rest] == ["before", "after"]
    assert_log_sound(store, [NoteSigner(ORIGIN, b"\7" * 32).key])


def test_what_is_dropped_is_told_with_its_number_failure_or_not(scribe, store, monkeypatch):
    monkeypatch.setattr(scribe_module, "MAX_WAITING", 3)
    for number in range(10):
        scribe.write(signal(scribe, str(number)))
    assert scribe.commit()
    gap, *rest = records(store)
    assert "7 records were dropped" in gap.reason
    assert len(rest) == 3
    failing_append(monkeypatch, store, [1, 1])
    for number in range(5):
        scribe.write(signal(scribe, str(number)))
    assert not scribe.commit()
    scribe.write(signal(scribe, "late"))
    assert not scribe.commit()
    assert scribe.commit()
    told = [each.reason for each in records(store) if isinstance(each, GapRecord)]
    assert len(told) == 2
    assert "3 records were dropped" in told[1]


def test_bytes_that_wait_are_bounded_too(store):
    scribe = scribe_of(store, budget=ByteBudget(10_000))
    for _ in range(100):
        scribe.write(signal(scribe, "x" * 100))
    assert 1 < scribe.waiting < 10


def test_attempts_of_one_agent_share_what_may_wait_and_each_has_some_of_its_own(store, tmp_path):
    budget, other = ByteBudget(20_000, own=4_000), LocalStore(tmp_path / "other")
    flooding, quiet = scribe_of(store, budget=budget), scribe_of(other, budget=budget)
    for _ in range(100):
        flooding.write(signal(flooding, "x" * 100))
    assert 10 < flooding.waiting < 24
    for _ in range(100):
        quiet.write(signal(quiet, "x" * 100))
    assert 1 < quiet.waiting < 4
    assert flooding.commit()
    for _ in range(100):
        quiet.write(signal(quiet, "x" * 100))
    assert quiet.waiting > 10
    quiet.let_go()
    assert quiet.waiting == 0
    assert budget._used == 0
    other.close()


def test_a_head_whose_flush_failed_is_written_anew_before_it_is_acknowledged(scribe, store, monkeypatch):
    scribe.write(signal(scribe, "one"))
    assert scribe.commit()
    real, order = local.flush_folder, []

    def failing(path):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(local, "flush_folder", failing)
    scribe.write(signal(scribe, "two"))
    assert not scribe.commit()
    before = (store.folder / "head").stat().st_ino
    persisted = store.load_head()
    assert not scribe.commit()  # the flush still fails: nothing is acknowledged
    assert scribe.waiting
    monkeypatch.setattr(local, "flush_folder", lambda path: (order.append(path), real(path)))
    assert scribe.commit()
    assert store.folder in order
    assert (store.folder / "head").stat().st_ino != before
    assert persisted is not None
    assert [each.signal for each in records(store) if isinstance(each, SignalRecord)] == ["one", "two"]
    assert_log_sound(store, [NoteSigner(ORIGIN, b"\7" * 32).key])


def test_a_full_disk_leaves_nothing_staged(store, monkeypatch):
    store.lock()
    real = os.write

    def full(fd, content):
        real(fd, bytes(content[:1]))
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", full)
        for act in (lambda: store.swap_head(None, b"head"), lambda: store.write_once("a/b", b"content")):
            with pytest.raises(StoreError):
                act()
    assert list((store.folder / ".staging").iterdir()) == []


def test_a_check_that_fails_does_not_end_the_writing(scribe, store, monkeypatch):
    def fail(self, item):
        raise RuntimeError("a defect")

    monkeypatch.setattr("saksi.judgement.checks.judging.Judging.take", fail)
    for name in ("one", "two"):
        scribe.write(signal(scribe, name))
        assert scribe.commit()
    assert len(records(store)) == 2
    assert "not judged" in scribe._checks.closing_sentence()
