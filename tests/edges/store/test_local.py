"""What only files can get wrong."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from saksi.edges.store.local import LocalStore
from saksi.words.errors import LogBusy, StoreError


@pytest.fixture
def store(tmp_path):
    made = LocalStore(tmp_path / "run")
    made.lock()
    yield made
    made.close()


def refusing(monkeypatch, name, number, *, after=0):
    """Let `os.<name>` fail with this errno from its call number `after` on."""
    real, calls = getattr(os, name), []

    def fake(*args, **kwargs):
        calls.append(args)
        if len(calls) > after:
            raise OSError(number, os.strerror(number))
        return real(*args, **kwargs)

    monkeypatch.setattr(os, name, fake)


def test_files_are_private(store):
    store.write_once("blobs/sha256/ab/cd", b"x")
    store.append(b"x")
    store.swap_head(None, b"h")
    assert store.folder.stat().st_mode & 0o777 == 0o700
    for path in store.folder.rglob("*"):
        assert path.stat().st_mode & 0o777 == (0o700 if path.is_dir() else 0o600), path


def test_reading_makes_nothing(tmp_path):
    store = LocalStore(tmp_path / "run")
    assert (store.load_head(), store.journal(), list(store.names(""))) == (None, b"", [])
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("number", "remedy"),
    [(errno.ENOSPC, "free space"), (errno.EDQUOT, "quota"), (errno.EROFS, "read-only"), (errno.EACCES, "owner")],
)
@pytest.mark.parametrize("verb", ["append", "write_once", "replace", "swap_head"])
def test_a_refusing_disk_is_one_line_with_the_file_and_the_remedy(store, monkeypatch, number, remedy, verb):
    act = {
        "append": lambda: store.append(b"x"),
        "write_once": lambda: store.write_once("a/b", b"x"),
        "replace": lambda: store.replace("a/b", b"x"),
        "swap_head": lambda: store.swap_head(None, b"x"),
    }[verb]
    refusing(monkeypatch, "write", number)
    with pytest.raises(StoreError) as caught:
        act()
    text = str(caught.value)
    assert str(store.folder) in text
    assert remedy in text
    assert "\n" not in text


def test_a_full_disk_leaves_a_torn_tail_that_can_be_cut(store, monkeypatch):
    store.append(b"whole")
    real = os.write
    monkeypatch.setattr(os, "write", lambda fd, rest: real(fd, bytes(rest[:1])))
    refusing(monkeypatch, "write", errno.ENOSPC, after=2)
    with pytest.raises(StoreError):
        store.append(b"torn")
    monkeypatch.undo()
    assert store.journal() == b"wholeto"
    store.cut_journal(5)
    assert store.journal() == b"whole"


@pytest.mark.parametrize("flush", ["fsync", "fdatasync"])
def test_a_failed_flush_is_an_error_and_is_not_tried_again(store, monkeypatch, flush):
    refusing(monkeypatch, flush, errno.EIO)
    act = {"fsync": lambda: store.swap_head(None, b"h"), "fdatasync": lambda: store.append(b"x")}[flush]
    with pytest.raises(StoreError, match="kernel's log"):
        act()
    if flush == "fsync":
        assert store.load_head() is None


def test_a_flush_comes_before_the_name_and_after_it_the_folder(store, monkeypatch):
    order = []
    for name in ("fsync", "link"):
        real = getattr(os, name)

        def spy(*args, _real=real, _name=name, **kwargs):
            if _name == "fsync":
                order.append("folder" if Path(f"/proc/self/fd/{args[0]}").is_dir() else "file")
            else:
                order.append("name")
            return _real(*args, **kwargs)

        monkeypatch.setattr(os, name, spy)
    store.write_once("a/b", b"x")
    assert order == ["file", "name", "folder", "folder"]  # the object's folder, then the folder's own name
    order.clear()
    store.write_once("a/c", b"x")
    assert order == ["file", "name", "folder"]
    order.clear()
    store.write_once("a/d", b"x", durable=False)
    assert order == ["name"]
    store.write_once("a/d", b"x")
    assert order == ["name", "file", "folder"]


def test_without_hard_links_objects_are_still_written_once(store, monkeypatch):
    refusing(monkeypatch, "link", errno.EPERM)
    store.write_once("a/b", b"x")
    assert store.read("a/b") == b"x"


def test_what_a_dead_writer_staged_is_swept(store):
    left = store.folder / ".staging" / "7"
    left.write_bytes(b"half")
    store.close()
    store.lock()
    assert not left.exists()
    assert list(store.names("")) == []


@pytest.mark.parametrize("kind", ["fifo", "symlink", "folder"])
def test_what_is_no_regular_file_is_not_read(store, kind, tmp_path):
    path = store.folder / "log" / "checkpoint"
    path.parent.mkdir()
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "symlink":
        (tmp_path / "elsewhere").write_bytes(b"x")
        path.symlink_to(tmp_path / "elsewhere")
    else:
        path.mkdir()
    with pytest.raises(StoreError):
        store.read("log/checkpoint")


def test_the_lock_names_its_holder_and_dies_with_it(tmp_path):
    script = (
        "import sys, time; from pathlib import Path; from saksi.edges.store.local import LocalStore\n"
        "store = LocalStore(Path(sys.argv[1])); store.lock(); print('locked', flush=True); time.sleep(60)"
    )
    holder = subprocess.Popen([sys.executable, "-c", script, str(tmp_path / "run")], stdout=subprocess.PIPE, text=True)
    with holder:
        assert holder.stdout.readline() == "locked\n"
        store = LocalStore(tmp_path / "run")
        with pytest.raises(LogBusy, match=f"process {holder.pid} is writing"):
            store.lock()
        holder.kill()
        holder.wait()
        store.lock()
        store.close()


def test_a_started_command_does_not_inherit_the_lock(store):
    child = subprocess.Popen(["sleep", "30"], close_fds=False)
    try:
        store.close()
        second = LocalStore(store.folder)
        second.lock()
        second.append(b"journal")
        second.close()
        assert child.poll() is None
        assert second.journal() == b"journal"
    finally:
        child.kill()
        child.wait()
