"""What a hostile or broken peer says must neither silence the agent nor make its log unreadable."""

from __future__ import annotations

import os
import signal
import socket
import time

import pytest

from agent_attempt import RUN
from saksi.edges.store.local import LocalStore
from saksi.judgement.items import read_items
from saksi.judgement.verdict import judge
from saksi.proofs.journal import parse_journal
from saksi.words.blobs import blob_name
from saksi.words.errors import NotStored
from saksi.words.records import BlockRecord, FindingRecord, RefusedRecord

CONTROL = chr(1) * 4096


def judged(attempt):
    """What the auditor makes of the stored bytes. Raises if any of them cannot be read."""
    store = LocalStore(attempt.folder)

    def blob(digest):
        try:
            return store.read(blob_name(digest))
        except NotStored:
            return None

    return judge(read_items(parse_journal(store.journal()).entries, blob), run=RUN).report


def test_a_finding_that_does_not_fit_an_entry_is_cut_and_stops_nothing(attempt):
    recorder = attempt.recorder()
    recorder.hello()
    recorder.update(0)
    recorder.say("fault", where=CONTROL, error=CONTROL)
    time.sleep(2.5)
    recorder.update(1)
    recorder.detach([2])
    assert attempt.end().startswith("2 of 2 steps witnessed")
    told = [each.finding for each in attempt.records(FindingRecord)]
    assert any(each.code == "witness.recorder_fault" and each.evidence for each in told)


@pytest.mark.parametrize("surround", [(b" ", b""), (b"", b" "), (b"\t", b"\r")])
def test_whitespace_around_a_hello_is_refused_and_the_log_stays_readable(attempt, surround):
    before, after = surround
    recorder = attempt.recorder()
    connected, recorder.socket = recorder.socket, Padded(recorder.socket, before, after)
    recorder.hello()
    connected.close()
    attempt.end()
    assert any("hello" in each.sample for each in attempt.records(RefusedRecord))
    assert judged(attempt).verdict != "clean"


def test_whitespace_around_a_frame_is_refused_and_the_log_stays_readable(attempt):
    recorder = attempt.recorder()
    recorder.hello()
    recorder.update(0)
    connected, recorder.socket = recorder.socket, Padded(recorder.socket, b" ", b"")
    recorder.update(1)
    recorder.socket = connected
    recorder.update(2)
    recorder.detach([3])
    attempt.end()
    assert sum(each.count for each in attempt.records(RefusedRecord)) == 1
    assert "witness.chain_broken" not in {each.code for each in judged(attempt).items}


def test_a_frame_nested_too_deeply_is_refused_and_the_log_stays_readable(attempt):
    deep = 0
    for _ in range(200):
        deep = [deep]
    recorder = attempt.recorder()
    recorder.hello()
    recorder.update(0, groups=[{"lr": deep}])
    recorder.update(1)
    recorder.detach([2])
    attempt.end()
    (refused,) = attempt.records(RefusedRecord)
    assert "nested" in refused.reason
    assert "witness.block_differs" not in {each.code for each in judged(attempt).items}


def test_a_burst_of_the_largest_frames_makes_no_block_that_readers_refuse(attempt):
    recorder = attempt.recorder()
    recorder.hello()
    recorder.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8 << 20)
    lines = [["x" * 4000, None, "f32", [1]] for _ in range(16)]
    os.kill(attempt.pid, signal.SIGSTOP)
    recorder.socket.setblocking(False)
    sent = 0
    try:
        for part in range(200):
            recorder.say("layout", layout="0" * 64, part=part, parts=200, lines=lines)
            sent += 1
    except BlockingIOError:
        pass
    finally:
        os.kill(attempt.pid, signal.SIGCONT)
    recorder.socket.setblocking(True)
    recorder.update(0)
    recorder.detach([1])
    attempt.end()
    assert sent > 1
    assert max(each.size for each in attempt.records(BlockRecord)) < 3 * 65_536
    assert "witness.block_differs" not in {each.code for each in judged(attempt).items}


def test_refusals_beyond_those_written_one_by_one_stay_with_their_connection(attempt):
    recorder = attempt.recorder()
    recorder.hello()
    recorder.update(0)
    for step in range(80):
        recorder.update(step + 1, unknown=1)
    recorder.update(81)
    recorder.detach([82])
    recorder.close()
    attempt.end()
    refused = attempt.records(RefusedRecord)
    assert {each.connection for each in refused} == {0}
    assert {each.peer.pid for each in refused} == {os.getpid()}
    assert sum(each.count for each in refused) == 80
    codes = {each.code for each in judged(attempt).items}
    assert "witness.peer_refused" not in codes
    assert "witness.chain_broken" not in codes


class Padded:
    """A socket that puts bytes around what is sent."""

    def __init__(self, connected, before, after):
        self._connected, self._before, self._after = connected, before, after

    def send(self, packet):
        return self._connected.send(self._before + packet + self._after)

    def close(self):
        self._connected.close()
