"""Folders and commands as anchors, and how they are named and read."""

from __future__ import annotations

import errno
import os
import sys
import time
from pathlib import Path

import pytest

from saksi.edges.anchors import CommandAnchor, FolderAnchor, parse_anchor, read_anchors
from saksi.words.errors import Conflict, StoreError, UsageError


def python(script, seconds=10.0):
    return CommandAnchor((sys.executable, "-c", script), seconds)


def test_a_folder_keeps_each_head_once(tmp_path):
    anchor = FolderAnchor(tmp_path / "anchors")
    anchor.send("run1", 42, b"note 42")
    anchor.send("run1", 42, b"note 42")
    anchor.send("run1", 1_000_000_000_000, b"large")
    anchor.send("run1", 7, b"note 7")
    assert (tmp_path / "anchors/run1/000000000042.note").read_bytes() == b"note 42"
    assert len(list((tmp_path / "anchors/run1").iterdir())) == 3
    assert read_anchors(tmp_path / "anchors/run1") == [b"note 7", b"note 42", b"large"]
    assert read_anchors(tmp_path / "anchors", "run1") == [b"note 7", b"note 42", b"large"]
    assert read_anchors(tmp_path / "anchors", "run2") == []
    assert read_anchors(tmp_path / "anchors/run1/000000000007.note") == [b"note 7"]


def test_a_folder_never_keeps_two_heads_of_a_size(tmp_path):
    anchor = FolderAnchor(tmp_path)
    anchor.send("run1", 42, b"one")
    with pytest.raises(Conflict, match="another head of this size"):
        anchor.send("run1", 42, b"two")
    assert read_anchors(tmp_path, "run1") == [b"one"]
    assert [path.name for path in (tmp_path / "run1").iterdir()] == ["000000000042.note"]


def test_anchored_heads_can_be_read_by_others(tmp_path):
    before = os.umask(0o022)
    try:
        FolderAnchor(tmp_path).send("run1", 1, b"note")
    finally:
        os.umask(before)
    assert (tmp_path / "run1/000000000001.note").stat().st_mode & 0o777 == 0o644


def test_a_full_disk_is_a_store_error(tmp_path, monkeypatch):
    def full(_fd):
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreError, match=r"000000000001\.note: No space left.*free space"):
        FolderAnchor(tmp_path).send("run1", 1, b"note")
    assert [path.name for path in (tmp_path / "run1").iterdir()] == []


@pytest.mark.parametrize("run", ["", "..", "a/b", "/etc", ".hidden", "a\n"])
def test_a_run_that_cannot_name_a_folder_is_refused(tmp_path, run):
    with pytest.raises(ValueError, match="cannot name"):
        FolderAnchor(tmp_path).send(run, 1, b"")


def test_a_command_gets_the_note(tmp_path):
    python(f"import sys; open({str(tmp_path / 'kept')!r}, 'wb').write(sys.stdin.buffer.read())").send("r", 1, b"note")
    assert (tmp_path / "kept").read_bytes() == b"note"


def test_a_command_may_leave_the_note_unread(tmp_path):
    python(f"open({str(tmp_path / 'ran')!r}, 'x')").send("r", 1, b"x" * 60_000)
    assert (tmp_path / "ran").exists()


def test_a_command_that_fails_says_why():
    with pytest.raises(StoreError, match=r"for 5 entries of run r: ended with 3: no route$"):
        python("import sys; print('first\\nno route', file=sys.stderr); sys.exit(3)").send("r", 5, b"")


def test_a_command_that_is_not_there_is_a_store_error():
    with pytest.raises(StoreError, match="cannot start /nowhere/at/all"):
        CommandAnchor(("/nowhere/at/all",)).send("r", 1, b"")


def test_a_command_that_hangs_is_ended_with_what_it_started(tmp_path):
    script = (
        "import subprocess, sys, time; p = subprocess.Popen(['sleep', '60'])\n"
        f"open({str(tmp_path / 'pid')!r}, 'w').write(str(p.pid)); time.sleep(60)"
    )
    start = time.monotonic()
    with pytest.raises(StoreError, match=r"no end after 0\.5 seconds"):
        python(script, 0.5).send("r", 1, b"note")
    assert time.monotonic() - start < 5
    pid = (tmp_path / "pid").read_text()
    end = time.monotonic() + 5
    while not gone(pid) and time.monotonic() < end:
        time.sleep(0.01)
    assert gone(pid)


def gone(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].startswith("Z")
    except (FileNotFoundError, ProcessLookupError):
        return True


def which(name):
    return {"tool": "/usr/bin/tool"}.get(name)


def test_anchors_are_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tool").mkdir()
    assert parse_anchor(str(tmp_path), which=which) == FolderAnchor(tmp_path)
    assert parse_anchor("later/", which=which) == FolderAnchor(tmp_path / "later")
    assert parse_anchor("tool", which=which) == FolderAnchor(tmp_path / "tool"), "an existing folder wins"
    assert parse_anchor("tool -q 'two words'", which=which) == CommandAnchor(("/usr/bin/tool", "-q", "two words"))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("https://anchor.example/x/", "server as anchor comes with"),
        ("http://localhost:1", "server as anchor comes with"),
        ("nothing", "neither a folder nor a command"),
        ("", "neither a folder nor a command"),
        ("tool 'open", "quotes"),
    ],
)
def test_what_is_no_anchor_is_refused_with_what_to_write(text, reason):
    with pytest.raises(UsageError, match=reason) as caught:
        parse_anchor(text, which=which)
    assert caught.value.remedy


def test_reading_anchors_has_limits(tmp_path, monkeypatch):
    with pytest.raises(UsageError, match="neither a folder"):
        read_anchors(tmp_path / "none")
    (tmp_path / "000000000001.note").write_bytes(b"x" * 65_536)
    with pytest.raises(StoreError, match="larger than a note"):
        read_anchors(tmp_path)
    (tmp_path / "000000000001.note").write_bytes(b"x")
    (tmp_path / "other.txt").write_bytes(b"?")
    (tmp_path / "000000000002.note").write_bytes(b"y")
    assert read_anchors(tmp_path) == [b"x", b"y"]
    monkeypatch.setattr("saksi.edges.anchors.MAX_ANCHORS", 1)
    with pytest.raises(StoreError, match="the limit is 1"):
        read_anchors(tmp_path)
