"""The worker that hashes files outlives every file, and every file gets an answer."""

from __future__ import annotations

import threading

from saksi.edges.files import HashedFile
from saksi.processes.agent import ckpt_files
from saksi.processes.agent.ckpt_files import CkptFiles
from saksi.words.frames import CkptFrame


def frame(path, seq=0):
    return CkptFrame(
        seq=seq, prev="0" * 64, wall_ns=0, mono_ns=0, lost=0, action="saved", path=str(path), digest=None, size=None,
        device=None, inode=None, mtime_ns=None, step=0,
    )  # fmt: skip


def test_an_error_in_one_file_does_not_end_the_others(tmp_path, monkeypatch):
    woken = threading.Semaphore(0)
    real = ckpt_files.hash_file

    def failing(path, expected, *, on_behalf_of, look):
        if path.name == "bad":
            raise RuntimeError("a defect")
        return real(path, expected)

    monkeypatch.setattr(ckpt_files, "hash_file", failing)
    (tmp_path / "good").write_bytes(b"x")
    files = CkptFiles(woken.release)
    files.give(0, 0, frame(tmp_path / "bad"))
    files.give(0, 0, frame(tmp_path / "good"))
    assert woken.acquire(timeout=10)
    assert woken.acquire(timeout=10)
    bad, good = files.collect()
    assert "RuntimeError" in bad.found.reason
    assert good.found.digest is not None
    assert files.pending == 0


def test_what_is_abandoned_has_the_reason_and_is_never_collected(tmp_path, monkeypatch):
    going, done = threading.Event(), threading.Semaphore(0)
    real, read = ckpt_files.hash_file, []

    def waiting(path, expected, *, on_behalf_of, look):
        going.wait(10)
        read.append(path.name)
        return real(path, expected, on_behalf_of=on_behalf_of)

    monkeypatch.setattr(ckpt_files, "hash_file", waiting)
    files = CkptFiles(done.release)
    for number in range(3):
        files.give(0, 0, frame(tmp_path / "file", number))
    left = files.abandon("closed")
    assert [(each.frame.seq, each.found.reason) for each in left] == [(0, "closed"), (1, "closed"), (2, "closed")]
    assert files.pending == 0
    going.set()
    for _ in range(3):
        assert done.acquire(timeout=10)
    assert read == ["file"] * 3
    assert files.collect() == []


def test_what_finds_no_room_to_wait_wakes_the_agent_too(tmp_path, monkeypatch):
    begun, going, woken = threading.Event(), threading.Event(), threading.Semaphore(0)

    def waiting(path, expected, *, on_behalf_of, look):
        begun.set()
        going.wait(10)
        return HashedFile(digest=None, size=None, reason="read")

    monkeypatch.setattr(ckpt_files, "MAX_WAITING", 1)
    monkeypatch.setattr(ckpt_files, "hash_file", waiting)
    files = CkptFiles(woken.release)
    files.give(0, 0, frame(tmp_path / "file", 0))
    assert begun.wait(10)
    for number in (1, 2):
        files.give(0, 0, frame(tmp_path / "file", number))
    assert woken.acquire(timeout=10)
    (full,) = files.collect()
    assert full.frame.seq == 2
    assert "were waiting" in full.found.reason
    going.set()
    for _ in range(2):  # the worker is done with both before another test puts its own reading in place
        assert woken.acquire(timeout=10)
    assert [each.frame.seq for each in files.collect()] == [0, 1]
