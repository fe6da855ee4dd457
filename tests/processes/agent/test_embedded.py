from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from agent_attempt import Attempt
from saksi.edges.store.local import LocalStore
from saksi.processes.agent.control import OrphanEnded, SignalSeen, send
from saksi.words.blobs import blob_name
from saksi.words.codec import decode_block
from saksi.words.digest import Digest
from saksi.words.records import (
    AttachRecord,
    AttemptKeyRecord,
    BlockRecord,
    DetachRecord,
    ExitRecord,
    GapRecord,
    ProcessRecord,
    RefusedRecord,
    SealRecord,
    SignalRecord,
)


def kinds(records):
    return [type(each) for each in records]


def test_what_a_recorder_says_is_in_the_log_byte_for_byte(attempt):
    recorder = attempt.recorder()
    said = [recorder.hello(), *(recorder.update(step) for step in range(5)), recorder.detach([5])]
    recorder.close()
    sentence = attempt.end()

    assert sentence.startswith("5 of 5 steps witnessed")
    records = attempt.records()
    assert kinds(records)[:2] == [SealRecord, AttemptKeyRecord]
    assert isinstance(records[-1], ExitRecord)
    assert records[-1].signal == 15
    blocks = [each for each in records if isinstance(each, BlockRecord)]
    store = LocalStore(attempt.folder)
    lines = [raw for block in blocks for _, raw, _ in decode_block(store.read(blob_name(Digest.parse(block.blob))))]
    assert lines == said
    (detach,) = [each for each in records if isinstance(each, DetachRecord)]
    assert detach.clean
    assert detach.last_step == 4


def test_every_signal_that_was_told_before_an_end_stands_before_it(attempt):
    until = time.monotonic() + 20
    while not attempt.records(ProcessRecord) and time.monotonic() < until:
        time.sleep(0.05)  # the job has to be known before it ends
    os.kill(attempt.pid, signal.SIGSTOP)
    for name in ("SIGUSR1", "SIGUSR1", "SIGUSR1", "SIGTERM"):
        send(attempt.control, SignalSeen(signal=name, forwarded=True, sender=None))
    attempt.job.terminate()
    attempt.job.wait()
    send(attempt.control, OrphanEnded(pid=attempt.job.pid, status=15))  # older kernels do not say it any more
    time.sleep(0.3)  # a look is due as the agent goes on
    os.kill(attempt.pid, signal.SIGCONT)
    while not [each for each in attempt.records(ProcessRecord) if each.event == "ended"] and time.monotonic() < until:
        time.sleep(0.05)
    attempt.end(kill=False)
    told = [each for each in attempt.records() if isinstance(each, SignalRecord | ProcessRecord)]
    assert [getattr(each, "signal", None) for each in told if each != told[0]] == [
        "SIGUSR1", "SIGUSR1", "SIGUSR1", "SIGTERM", 15,
    ]  # fmt: skip


def test_the_kernels_word_on_the_peer_stands_beside_what_it_claims(attempt):
    recorder = attempt.recorder()
    recorder.hello(pid=4, rank=3)
    recorder.close()
    attempt.end()
    (attach,) = attempt.records(AttachRecord)
    assert attach.peer.pid == os.getpid()
    assert attach.peer.uid == os.getuid()
    assert b'"pid":4' in bytes(attach.claimed)
    assert attach.rank == 3


def test_a_recorder_that_vanishes_without_goodbye_loses_nothing_it_sent(attempt):
    recorder = attempt.recorder()
    recorder.hello()
    for step in range(7):
        recorder.update(step)
    recorder.close()
    attempt.end()
    (detach,) = attempt.records(DetachRecord)
    assert not detach.clean
    assert detach.last_step == 6


def say_hello_until_refused(recorder):
    for _ in range(50):
        recorder.hello()
        time.sleep(0.02)


def test_a_wrong_token_is_refused_and_written_down_without_the_token(attempt):
    recorder = attempt.recorder()
    recorder.close()
    attempt.token, right = "f" * 64, attempt.token
    stranger = attempt.recorder()
    time.sleep(0.3)
    with pytest.raises(OSError, match=r"Broken pipe|Connection reset|Transport endpoint"):
        say_hello_until_refused(stranger)
    attempt.end()
    refused = attempt.records(RefusedRecord)
    assert any("token" in each.reason for each in refused)
    assert right.encode() not in LocalStore(attempt.folder).journal()


def test_frames_that_do_not_parse_are_refused_and_the_rest_is_kept(attempt):
    recorder = attempt.recorder()
    recorder.hello()
    recorder.socket.send(b"not json")
    recorder.socket.send(b'{"kind":"update","x":1}')
    recorder.socket.send(b"x" * 70_000)
    recorder.update(0)
    recorder.detach([1])
    recorder.close()
    sentence = attempt.end()
    assert "1 of 1 steps witnessed" in sentence
    refused = attempt.records(RefusedRecord)
    assert len(refused) == 3


def test_a_flood_of_bad_frames_becomes_few_records(attempt):
    recorder = attempt.recorder()
    recorder.hello()
    for _ in range(3_000):
        recorder.socket.send(b"\xff\xfe")
    recorder.close()
    attempt.end()
    refused = attempt.records(RefusedRecord)
    assert len(refused) < 100
    assert sum(each.count for each in refused) == 3_000


def test_a_job_that_never_started_leaves_a_closed_log(tmp_path):
    attempt = Attempt(tmp_path)
    attempt.end()
    assert kinds(attempt.records()) == [SealRecord, AttemptKeyRecord, ExitRecord]


def test_notes_of_the_launcher_are_gaps(tmp_path):
    attempt = Attempt(tmp_path, notes=("the recorder was switched off",))
    attempt.end()
    assert [each.reason for each in attempt.records(GapRecord)] == ["the recorder was switched off"]


def test_a_second_agent_on_the_same_log_says_who_holds_it(tmp_path, attempt):
    second = Attempt(tmp_path, folder=attempt.folder, number=1)
    assert second.problem is not None
    assert str(attempt.pid) in second.problem
    os.waitpid(second.pid, 0)
    attempt.end()
    assert kinds(attempt.records()).count(AttemptKeyRecord) == 1


AT_ONCE = """
import faulthandler, os, signal
from saksi.processes.agent.service import ignore_the_jobs_signals
faulthandler.enable(open(os.devnull, "w"))
numbers = (1, 2, 3, 10, 12, 15)
signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
for each in numbers:
    os.kill(os.getpid(), each)
ignore_the_jobs_signals()
print("lives")
"""


def test_signals_that_come_at_once_end_no_agent_whose_faults_are_handled_on_a_stack_of_their_own():
    done = subprocess.run([sys.executable, "-c", AT_ONCE], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (0, "lives\n")


@pytest.mark.parametrize("at_once", [False, True])
def test_the_agent_outlives_the_signals_that_end_a_job(attempt, at_once):
    recorder = attempt.recorder()
    recorder.hello()
    if at_once:  # to one that stands still: their handlers then stand one on the other
        os.kill(attempt.pid, signal.SIGSTOP)
    for number in (1, 2, 3, 10, 12, 15):
        os.kill(attempt.pid, number)
    os.kill(attempt.pid, signal.SIGCONT)
    recorder.update(0)
    recorder.detach([1])
    recorder.close()
    assert "1 of 1 steps" in attempt.end()
