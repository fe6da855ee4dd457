from __future__ import annotations

import contextlib
import os
import shutil
import stat
from pathlib import Path

import pytest

from saksi.edges import filesystem
from saksi.edges.filesystem import (
    choose_log_folder,
    filesystem_of,
    filesystem_type,
    finish_moves,
    is_network,
    is_volatile,
    move_home,
)
from saksi.edges.store.local import LocalStore
from saksi.words.errors import LogBusy, StoreError, UsageError

MOUNTINFO = r"""22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
23 22 0:21 / /proc rw - proc proc rw
30 22 0:30 / /home rw,relatime shared:9 master:3 - nfs4 filer:/home rw,vers=4.2
31 30 0:31 / /home/ada/my\040disk rw - xfs /dev/sdb1 rw
32 22 0:32 / /tmp rw - tmpfs tmpfs rw,size=1g
33 22 0:33 / /over rw - ext4 /dev/vdb rw
34 33 0:34 / /over rw - lustre mds@tcp:/scratch rw
this line is not one
35 22 0:35
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/", "ext4"),
        ("/var/tmp/x", "ext4"),
        ("/home", "nfs4"),
        ("/home/ada", "nfs4"),
        ("/homework", "ext4"),
        ("/home/ada/my disk/run", "xfs"),
        ("/tmp/x", "tmpfs"),
        ("/over/x", "lustre"),
    ],
)
def test_the_longest_and_latest_mount_decides(path, kind):
    assert filesystem_type(path, MOUNTINFO) == kind


def test_without_a_mount_there_is_no_answer():
    assert filesystem_type("/x", "") is None


@pytest.mark.parametrize(
    "kind",
    ["nfs", "nfs4", "cifs", "smb3", "lustre", "gpfs", "beegfs", "ceph", "9p", "afs", "fuse.sshfs", "fuse.new-thing"],
)
def test_network_file_systems_are_known(kind):
    assert is_network(kind)
    assert not is_volatile(kind)


@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs", "zfs", "overlay", "fuseblk", "tmpfs", None])
def test_local_file_systems_are_known(kind):
    assert not is_network(kind)
    assert is_volatile(kind) == (kind == "tmpfs")


def test_a_folder_that_is_not_there_yet_lies_where_its_parent_does(tmp_path):
    text = tmp_path / "mountinfo"
    text.write_text(f"1 1 0:1 / / rw - ext4 a rw\n2 1 0:2 / {tmp_path.resolve()}/far rw - nfs4 b rw\n")
    (tmp_path / "far").mkdir()
    (tmp_path / "link").symlink_to("far")
    assert filesystem_of(tmp_path / "far/not/yet", mountinfo=text) == "nfs4"
    assert filesystem_of(tmp_path / "link/not/yet", mountinfo=text) == "nfs4"
    assert filesystem_of(tmp_path / "near", mountinfo=text) == "ext4"
    assert filesystem_of(tmp_path, mountinfo=tmp_path / "none") is None
    assert filesystem_of(tmp_path) is not None


def listed(folder):
    return sorted(path.name for path in folder.iterdir())


def kinds(**known):
    """A look-up by the first name below the test's folder."""
    return lambda path: next((kind for name, kind in known.items() if f"/{name}" in str(path)), "ext4")


def test_a_local_home_is_used_as_it_is(tmp_path):
    chosen = choose_log_folder(tmp_path / "home", "/ignored", kinds(), uid=1000)
    assert (chosen.folder, chosen.moves_home) == (tmp_path / "home", False)


@pytest.mark.parametrize("kind", ["nfs4", "lustre", "tmpfs"])
def test_scratch_stands_in_for_a_home_that_is_no_disk(tmp_path, kind):
    chosen = choose_log_folder(tmp_path / "home", str(tmp_path / "scratch"), kinds(home=kind), uid=1000)
    assert (chosen.folder, chosen.moves_home) == (tmp_path / "scratch", True)
    assert kind in chosen.reason


@pytest.mark.parametrize("scratch", ["relative/path", "{}/shm", "{}/net"])
def test_an_unusable_scratch_is_refused(tmp_path, scratch):
    look_up = kinds(home="nfs4", shm="tmpfs", net="beegfs")
    with pytest.raises(UsageError, match="SAKSI_SCRATCH"):
        choose_log_folder(tmp_path / "home", scratch.format(tmp_path), look_up, uid=1000)


def test_without_scratch_a_private_folder_is_made(tmp_path):
    uid = os.getuid()
    for _ in range(2):
        chosen = choose_log_folder(Path("/home/ada"), None, kinds(home="nfs4"), uid=uid, fallback=tmp_path)
        assert chosen.folder == tmp_path / f"saksi-{uid}"
        assert stat.S_IMODE(chosen.folder.stat().st_mode) == 0o700


@pytest.mark.parametrize("case", ["others can read", "a link", "a file", "another's"])
def test_a_fallback_folder_that_is_not_ours_alone_is_refused(tmp_path, case):
    uid = os.getuid()
    asked = uid + 1 if case == "another's" else uid
    folder = tmp_path / f"saksi-{asked}"
    if case == "a link":
        (tmp_path / "x").mkdir(mode=0o700)
        folder.symlink_to("x")
    elif case == "a file":
        folder.touch(mode=0o700)
    else:
        folder.mkdir(mode=0o755 if case == "others can read" else 0o700)
    with pytest.raises(UsageError, match="belongs to you alone"):
        choose_log_folder(Path("/home/ada"), None, kinds(home="nfs4"), uid=asked, fallback=tmp_path)


def test_a_fallback_on_a_tmpfs_is_refused(tmp_path):
    with pytest.raises(UsageError, match="tmpfs"):
        choose_log_folder(
            Path("/home/ada"), None, kinds(home="nfs4", fallback="tmpfs"), uid=1, fallback=tmp_path / "fallback"
        )


@pytest.fixture
def run(tmp_path):
    store = LocalStore(tmp_path / "scratch" / "run1")
    store.lock()
    store.write_once("blobs/sha256/ab/cd", b"blob")
    store.write_once("log/tile/0/000", b"x" * 3_000_000)
    store.append(b"journal")
    store.swap_head(None, b"head")
    store.close()
    (tmp_path / "home").mkdir()
    return store.folder


def moved(tmp_path):
    """What the run at home holds, and the names at home and on scratch. It can be locked, as the next attempt will."""
    store = LocalStore(tmp_path / "home" / "run1")
    store.lock()
    store.close()
    stored = (store.journal(), store.load_head(), store.read("blobs/sha256/ab/cd"), len(store.read("log/tile/0/000")))
    return stored, listed(tmp_path / "home"), listed(tmp_path / "scratch")


WHOLE = ((b"journal", b"head", b"blob", 3_000_000), ["run1"], [])


def test_a_closed_run_moves_home(tmp_path, run):
    move_home(run, tmp_path / "home" / "run1")
    assert moved(tmp_path) == WHOLE
    move_home(run, tmp_path / "home" / "run1")  # again: nothing left to do
    assert moved(tmp_path) == WHOLE


@pytest.mark.parametrize(
    "where", ["make_folders", "_copy", "_compare", "flush_folder", "_remove", "write_all", "shutil.rmtree"]
)
@pytest.mark.parametrize("call", range(4))
def test_a_move_cut_off_anywhere_is_finished_by_the_next_command(tmp_path, run, monkeypatch, where, call):
    owner, name = (shutil, "rmtree") if where == "shutil.rmtree" else (filesystem, where)
    real, calls = getattr(owner, name), []

    def cut(*args, **kwargs):
        calls.append(args)
        if len(calls) > call:
            raise KeyboardInterrupt
        return real(*args, **kwargs)

    with monkeypatch.context() as patched:
        patched.setattr(owner, name, cut)
        with contextlib.suppress(KeyboardInterrupt):
            move_home(run, tmp_path / "home" / "run1")
    begun = listed(tmp_path / "home") != []
    finish_moves(tmp_path / "home", tmp_path / "scratch")
    if not begun:  # cut before the first byte: the run is still whole where it was
        assert run.exists()
        move_home(run, tmp_path / "home" / "run1")
    assert moved(tmp_path) == WHOLE
    assert finish_moves(tmp_path / "home", tmp_path / "scratch") == []


def test_a_half_copied_run_is_copied_anew(tmp_path, run):
    left = tmp_path / "home" / "run1.incoming"
    (left / "log" / "tile").mkdir(parents=True)
    (left / "log" / "tile" / "superseded").write_bytes(b"?")
    (left / "journal").write_bytes(b"jour")
    assert finish_moves(tmp_path / "home", tmp_path / "scratch") == ["run1"]
    assert moved(tmp_path) == WHOLE


def test_a_run_that_is_written_or_was_never_begun_to_move_is_left_alone(tmp_path, run):
    assert finish_moves(tmp_path / "home", tmp_path / "scratch") == []
    (tmp_path / "home" / "run1.incoming").mkdir()
    store = LocalStore(run)
    store.lock()
    assert finish_moves(tmp_path / "home", tmp_path / "scratch") == []
    with pytest.raises(LogBusy):
        move_home(run, tmp_path / "home" / "run1")
    store.close()
    assert finish_moves(tmp_path / "home", tmp_path / "scratch") == ["run1"]


def test_two_different_runs_of_one_name_are_both_kept(tmp_path, run):
    shutil.copytree(run, tmp_path / "home" / "run1")
    (tmp_path / "home" / "run1" / "journal").write_bytes(b"another")
    with pytest.raises(StoreError, match="differs"):
        finish_moves(tmp_path / "home", tmp_path / "scratch")
    assert (run / "journal").read_bytes() == b"journal"


def test_one_move_that_cannot_be_finished_does_not_hold_up_the_others(tmp_path, run):
    shutil.copytree(run, tmp_path / "scratch" / "run0")
    shutil.copytree(run, tmp_path / "home" / "run0")
    (tmp_path / "home" / "run0" / "journal").unlink()
    (tmp_path / "home" / "run1.incoming").mkdir()
    with pytest.raises(StoreError, match="run0"):
        finish_moves(tmp_path / "home", tmp_path / "scratch")
    assert (tmp_path / "home" / "run1" / "journal").read_bytes() == b"journal"


def test_without_a_scratch_folder_there_is_nothing_to_finish(tmp_path):
    assert finish_moves(tmp_path, tmp_path / "none") == []
