from __future__ import annotations

import hashlib
import os
import subprocess
import time
from contextlib import suppress

import pytest

from edges.environment.repositories import ENVIRONMENT, git, make_repository, touch_later
from saksi.edges.environment import git as git_module
from saksi.edges.environment import unlisted_code, work_tree
from saksi.edges.environment.repository import repository_folder
from saksi.edges.environment.work_tree import observe_git
from saksi.judgement.seal import MAX_CHANGES, MAX_UNTRACKED, digest_of_changes
from saksi.judgement.untracked import lists_all_code

KEY = b"k" * 32


@pytest.fixture
def scratch(tmp_path):
    folder = tmp_path / "scratch"
    folder.mkdir(mode=0o700)
    return folder


@pytest.fixture
def repository(tmp_path):
    return make_repository(tmp_path / "repository")


@pytest.fixture
def observe(scratch, monkeypatch):
    # On a loaded machine git may take longer than a launcher would wait.
    monkeypatch.setattr(work_tree, "GIT_SECONDS", 30.0)

    def ask(folder, environment=ENVIRONMENT):
        unobserved = {}
        found = observe_git(
            folder, environment, redaction_key=KEY, scratch=scratch, clock=time.monotonic, unobserved=unobserved
        )
        assert list(scratch.iterdir()) == []
        return found, unobserved

    return ask


def sha256_of(text):
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def test_a_clean_repository(repository, observe):
    found, unobserved = observe(repository / "pkg")
    assert unobserved == {}
    assert found.commit == git(repository, "rev-parse", "HEAD")
    assert found.tree == git(repository, "rev-parse", "HEAD^{tree}")
    assert (found.branch, found.dirty, found.dirty_digest) == ("main", False, None)
    assert (found.changed, found.changed_total, found.untracked, found.untracked_total) == ((), 0, (), 0)


def test_changes_of_every_kind(repository, observe):
    (repository / "train.py").write_text("print(2)\n")
    (repository / "pkg" / "mod.py").unlink()
    (repository / "new.py").write_text("new\n")
    git(repository, "add", "new.py")
    (repository / "notes.txt").write_text("notes")
    (repository / "x.log").write_text("ignored")
    found, unobserved = observe(repository)
    assert unobserved == {}
    assert [(each.path, each.status, each.digest) for each in found.changed] == [
        ("new.py", "added", sha256_of("new\n")),
        ("pkg/mod.py", "deleted", None),
        ("train.py", "modified", sha256_of("print(2)\n")),
    ]
    assert found.dirty is True
    assert found.dirty_digest == str(digest_of_changes(found.changed))
    assert [(each.path, each.digest) for each in found.untracked] == [("notes.txt", sha256_of("notes"))]


def test_a_file_that_was_only_touched_is_no_change(repository, observe):
    touch_later(repository / "train.py")
    assert observe(repository)[0].dirty is False


def test_a_mode_and_a_link_are_changes(repository, observe):
    (repository / "train.py").chmod(0o755)
    (repository / "pkg" / "mod.py").unlink()
    (repository / "pkg" / "mod.py").symlink_to("/nonexistent")
    changed = observe(repository)[0].changed
    assert [(each.path, each.status, each.executable) for each in changed] == [
        ("pkg/mod.py", "type", False),
        ("train.py", "modified", True),
    ]
    assert changed[0].digest == sha256_of("/nonexistent")


@pytest.mark.parametrize("flag", ["--assume-unchanged", "--skip-worktree"])
def test_a_change_hidden_by_a_flag_of_the_index_is_seen(repository, observe, flag):
    git(repository, "update-index", flag, "train.py")
    assert observe(repository)[0].dirty is False
    (repository / "train.py").write_text("print(3)\n")
    assert git(repository, "status", "--porcelain") == ""
    assert [each.path for each in observe(repository)[0].changed] == ["train.py"]


def test_a_file_left_out_by_a_sparse_checkout_is_no_change(repository, observe):
    git(repository, "update-index", "--skip-worktree", "train.py")
    (repository / "train.py").unlink()
    assert observe(repository)[0].dirty is False


def _attacks(repository, mark):
    """Every way we know to have a configuration run a program, each leaving the file `mark`."""
    tool = repository.parent / "tool.sh"
    tool.write_text(f'#!/bin/sh\necho "$0 $@" >> {mark}\ncat\n')
    tool.chmod(0o755)
    for name, value in {
        "core.fsmonitor": str(tool),
        "core.hooksPath": str(repository.parent / "hooks"),
        "core.pager": str(tool),
        "core.sshCommand": str(tool),
        "core.editor": str(tool),
        "core.askPass": str(tool),
        "diff.external": str(tool),
        "diff.toy.command": str(tool),
        "diff.toy.textconv": str(tool),
        "filter.toy.clean": str(tool),
        "filter.toy.smudge": str(tool),
        "filter.toy.process": str(tool),
        "filter.toy.required": "true",
        "remote.origin.url": f"ext::{tool}",
        "remote.origin.promisor": "true",
        "remote.origin.uploadpack": str(tool),
        "protocol.ext.allow": "always",
        "credential.helper": str(tool),
        "alias.diff-index": f"!{tool}",
        "alias.ls-files": f"!{tool}",
        "submodule.sub.update": f"!{tool}",
    }.items():
        git(repository, "config", name, value)
    hooks = repository.parent / "hooks"
    hooks.mkdir()
    for hook in ("post-index-change", "fsmonitor-watchman", "reference-transaction"):
        (hooks / hook).write_text(tool.read_text())
        (hooks / hook).chmod(0o755)
    (repository / ".gitattributes").write_text("*.py filter=toy diff=toy\n")


def test_nothing_that_the_configuration_names_is_run(repository, observe, tmp_path):
    mark = tmp_path / "mark"
    _attacks(repository, mark)
    (repository / "train.py").write_text("print(4)\n")
    touch_later(repository / "pkg" / "mod.py")
    os.utime(repository / ".git" / "index", ns=(10**9, 10**9))  # older than every file: git has to look at content
    found, unobserved = observe(repository)
    assert not mark.exists()
    assert unobserved == {}
    assert [each.path for each in found.changed] == ["train.py"]
    assert [each.path for each in found.untracked] == [".gitattributes"]


def test_the_attacks_of_that_test_are_real(repository, tmp_path):
    mark = tmp_path / "mark"
    _attacks(repository, mark)
    (repository / "train.py").write_text("print(4)\n")
    with suppress(subprocess.CalledProcessError):  # the toy is no good tool; that it ran is the point
        git(repository, "diff", "HEAD")
    assert mark.exists()


def test_a_missing_object_is_not_fetched(repository, observe, tmp_path):
    mark = tmp_path / "mark"
    _attacks(repository, mark)
    tree = git(repository, "rev-parse", "HEAD^{tree}")
    git(repository, "config", "extensions.partialClone", "origin")
    (repository / ".git" / "objects" / tree[:2] / tree[2:]).unlink()
    found, unobserved = observe(repository)
    assert not mark.exists()
    assert found.dirty is None
    assert "git.changed" in unobserved


def test_a_git_in_the_work_tree_is_not_run(repository, observe, tmp_path):
    mark = tmp_path / "mark"
    fake = repository / "bin" / "git"
    fake.parent.mkdir()
    fake.write_text(f"#!/bin/sh\ntouch {mark}\n")
    fake.chmod(0o755)
    real = ENVIRONMENT["PATH"]
    found, _ = observe(repository, {**ENVIRONMENT, "PATH": f"{fake.parent}:.:bin::{real}"})
    assert not mark.exists()
    assert found.commit


def test_no_repository(tmp_path, observe):
    folder = tmp_path / "plain"
    folder.mkdir()
    found, unobserved = observe(folder)
    assert found is None
    assert unobserved == {"git": "the working directory is in no git repository"}


def test_no_git_on_the_machine(repository, observe, tmp_path):
    found, unobserved = observe(repository, {"PATH": str(tmp_path)})
    assert found is None
    assert unobserved == {"git": "git is not installed"}


def test_a_git_that_is_too_slow(repository, scratch, tmp_path, monkeypatch):
    slow = tmp_path / "slow" / "git"
    slow.parent.mkdir()
    slow.write_text("#!/bin/sh\nexec sleep 60\n")
    slow.chmod(0o755)
    monkeypatch.setattr(work_tree, "GIT_SECONDS", 0.2)
    unobserved = {}
    started = time.monotonic()
    found = observe_git(
        repository,
        {"PATH": f"{slow.parent}:/usr/bin:/bin"},
        redaction_key=KEY,
        scratch=scratch,
        clock=time.monotonic,
        unobserved=unobserved,
    )
    assert time.monotonic() - started < 10
    assert found.commit
    assert (found.dirty, found.changed_total, found.untracked_total, found.tree) == (None, None, None, None)
    assert sorted(unobserved) == ["git.changed", "git.tree", "git.untracked"]
    assert list(scratch.iterdir()) == []


def test_an_answer_without_end_is_given_up(repository, observe, monkeypatch):
    monkeypatch.setattr(git_module, "MAX_ANSWER", 3)
    (repository / "a-name-longer-than-three").write_text("x")
    found, unobserved = observe(repository)
    assert found.untracked_total is None
    assert "git.untracked" in unobserved


def test_before_the_first_commit(tmp_path, observe):
    folder = tmp_path / "new"
    folder.mkdir()
    git(folder, "init", "-q", "-b", "main")
    (folder / "a.py").write_text("a")
    git(folder, "add", "a.py")
    found, unobserved = observe(folder)
    assert unobserved == {}
    assert (found.commit, found.tree, found.branch, found.dirty) == (None, None, "main", True)
    assert [each.status for each in found.changed] == ["added"]


def test_a_detached_head_and_packed_references(repository, observe):
    commit = git(repository, "rev-parse", "HEAD")
    git(repository, "pack-refs", "--all")
    assert observe(repository)[0].branch == "main"
    git(repository, "checkout", "-q", "--detach")
    found, _ = observe(repository)
    assert (found.commit, found.branch) == (commit, None)


def test_a_linked_work_tree(repository, observe, tmp_path):
    git(repository, "worktree", "add", "-q", "-b", "side", str(tmp_path / "side"))
    (tmp_path / "side" / "train.py").write_text("side\n")
    found, unobserved = observe(tmp_path / "side")
    assert unobserved == {}
    assert (found.branch, [each.path for each in found.changed]) == ("side", ["train.py"])


def test_a_submodule_at_another_commit(repository, observe, tmp_path):
    inner = make_repository(tmp_path / "inner")
    git(repository, "-c", "protocol.file.allow=always", "submodule", "-q", "add", str(inner), "sub")
    git(repository, "commit", "-q", "-m", "sub")
    assert observe(repository)[0].dirty is False
    git(repository / "sub", "commit", "-q", "--allow-empty", "-m", "two")
    changed = observe(repository)[0].changed
    assert [(each.path, each.reason) for each in changed] == [
        ("sub", f"submodule at {git(repository / 'sub', 'rev-parse', 'HEAD')}")
    ]


def test_a_repository_of_sha256(tmp_path, observe):
    folder = make_repository(tmp_path / "new", options=("--object-format=sha256",))
    touch_later(folder / "train.py")
    found, unobserved = observe(folder)
    assert unobserved == {}
    assert len(found.commit) == 64
    assert found.dirty is False


def test_a_split_index(repository, observe):
    git(repository, "update-index", "--split-index")
    (repository / "train.py").write_text("print(5)\n")
    assert [each.path for each in observe(repository)[0].changed] == ["train.py"]


def test_an_unmerged_file(repository, observe):
    git(repository, "checkout", "-q", "-b", "other")
    (repository / "train.py").write_text("other\n")
    git(repository, "commit", "-q", "-am", "other")
    git(repository, "checkout", "-q", "main")
    (repository / "train.py").write_text("main\n")
    git(repository, "commit", "-q", "-am", "main")
    with pytest.raises(Exception, match="merge"):
        git(repository, "merge", "other")
    assert [each.path for each in observe(repository)[0].changed] == ["train.py"]


def test_many_files_are_counted_and_not_all_listed(repository, observe):
    for number in range(MAX_UNTRACKED + 5):
        (repository / f"u{number:04}").write_text("x")
    for number in range(MAX_CHANGES + 5):
        (repository / "pkg" / f"c{number:04}").write_text("x")
    git(repository, "add", "pkg")
    found, _ = observe(repository)
    assert (len(found.untracked), found.untracked_total) == (MAX_UNTRACKED, MAX_UNTRACKED + 5)
    assert (len(found.changed), found.changed_total) == (MAX_CHANGES, MAX_CHANGES + 5)


def test_of_many_files_that_git_does_not_track_those_that_may_be_executed_are_listed_first(repository, observe):
    for number in range(MAX_UNTRACKED + 5):
        (repository / f"a{number:04}.json").write_text("x")
    (repository / "zz.py").write_text("x")
    (repository / "model.pth").write_text("x")
    found, _ = observe(repository)
    assert [each.path for each in found.untracked[:2]] == ["zz.py", "a0000.json"]
    assert lists_all_code(found)


def test_names_that_are_not_utf8_and_files_of_secrets(repository, observe):
    with open(os.fsencode(repository) + b"/\xff.txt", "wb") as file:
        file.write(b"x")
    (repository / ".env").write_text("A=1")
    untracked = {each.path: each.digest for each in observe(repository)[0].untracked}
    assert untracked["\\xff.txt"] == sha256_of("x")
    assert untracked[".env"].startswith("hmac-sha256:")


@pytest.mark.parametrize("text", ["", "ref: refs/heads/../../x", "nonsense", "ref: refs/heads/.invalid", "x" * 70_000])
def test_a_head_that_is_no_head(repository, observe, text):
    (repository / ".git" / "HEAD").write_text(text)
    found, unobserved = observe(repository)
    assert found is None
    assert list(unobserved) == ["git"]


def test_a_fifo_in_the_repository_holds_nobody(repository, observe):
    (repository / ".git" / "HEAD").unlink()
    os.mkfifo(repository / ".git" / "HEAD")
    assert observe(repository)[0] is None


def test_a_corrupt_index(repository, observe):
    (repository / ".git" / "index").write_bytes(b"DIRC garbage")
    found, unobserved = observe(repository)
    assert found.commit
    assert found.dirty is None
    assert "git.changed" in unobserved


# -- code that git does not list by itself


def put(folder, *paths):
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text("evil\n")


def ignore(repository, *patterns):
    (repository / ".gitignore").write_text("".join(f"{each}\n" for each in patterns))
    git(repository, "commit", "-q", "-am", "ignore")


def untracked(found):
    return [each.path for each in found.untracked]


def test_code_beside_the_script_that_is_ignored_is_listed_and_data_is_not(repository, observe):
    ignore(repository, "hidden.py", "build/", "*.so", "data/", ".venv/", "env/", "alone.pyc")
    put(repository, "hidden.py", "build/lib/a.py", "pkg/b.so", "data/x.bin", ".venv/c.py", "alone.pyc")
    put(repository, "build/__pycache__/a.cpython-311.pyc", "env/pyvenv.cfg", "env/lib/python3.11/site-packages/d.py")
    found, unobserved = observe(repository)
    assert unobserved == {}
    assert untracked(found) == ["alone.pyc", "build/lib/a.py", "hidden.py", "pkg/b.so"]
    assert found.untracked[1].digest == sha256_of("evil\n")
    assert found.untracked_total == 4
    assert untracked(observe(repository / "pkg")[0]) == ["pkg/b.so"]


def test_code_behind_an_untracked_link_and_in_a_nested_repository_is_listed(repository, observe, tmp_path):
    put(tmp_path / "elsewhere", "a.py", "deep/b.py", "notes.txt")
    (repository / "linked").symlink_to(tmp_path / "elsewhere")
    make_repository(repository / "nested")
    found, unobserved = observe(repository)
    assert unobserved == {}
    assert untracked(found) == [
        "linked/a.py", "linked/deep/b.py", "nested/pkg/mod.py", "nested/train.py", "linked", "nested/",
    ]  # fmt: skip
    assert found.untracked[0].digest == sha256_of("evil\n")


def test_code_behind_a_tracked_link_that_leads_out_of_the_repository_is_listed(repository, observe, tmp_path):
    put(tmp_path / "elsewhere", "a.py")
    (repository / "linked").symlink_to(tmp_path / "elsewhere")
    (repository / "own").symlink_to("pkg")
    git(repository, "add", "linked", "own")
    git(repository, "commit", "-q", "-m", "links")
    assert untracked(observe(repository)[0]) == ["linked/a.py"]


def test_links_in_a_ring_end(repository, observe, tmp_path):
    ring = tmp_path / "ring"
    put(ring, "a.py")
    for name in ("b", "c"):
        (ring / name).symlink_to(ring)
    (repository / "linked").symlink_to(ring)
    assert untracked(observe(repository)[0]) == ["linked/a.py", "linked"]


@pytest.fixture
def with_submodule(repository, tmp_path):
    inner = make_repository(tmp_path / "inner")
    git(repository, "-c", "protocol.file.allow=always", "submodule", "-q", "add", str(inner), "sub")
    git(repository, "commit", "-q", "-m", "sub")
    return repository


def test_what_is_changed_in_a_submodule_is_changed_in_the_work_tree(with_submodule, observe):
    clean, unobserved = observe(with_submodule)
    assert (clean.dirty, clean.untracked, unobserved) == (False, (), {})
    (with_submodule / "sub" / "train.py").write_text("edited\n")
    (with_submodule / "train.py").write_text("edited\n")
    put(with_submodule, "sub/new.py")
    found, unobserved = observe(with_submodule)
    assert unobserved == {}
    assert [(each.path, each.digest) for each in found.changed] == [
        ("sub/train.py", sha256_of("edited\n")),
        ("train.py", sha256_of("edited\n")),
    ]
    assert found.dirty_digest == str(digest_of_changes(found.changed))
    assert untracked(found) == ["sub/new.py"]


def test_a_git_in_the_work_tree_around_a_submodule_is_not_run(with_submodule, observe, tmp_path):
    mark = tmp_path / "mark"
    fake = with_submodule / "bin" / "git"
    fake.parent.mkdir()
    fake.write_text(f"#!/bin/sh\ntouch {mark}\n")
    fake.chmod(0o755)
    found, _ = observe(with_submodule, {**ENVIRONMENT, "PATH": f"{fake.parent}:{ENVIRONMENT['PATH']}"})
    assert found.dirty is False
    assert not mark.exists()


def test_code_in_a_submodule_that_is_not_checked_out_is_listed(with_submodule, observe):
    git(with_submodule, "submodule", "-q", "deinit", "-f", "sub")
    assert observe(with_submodule)[0].untracked == ()
    put(with_submodule, "sub/new.py")
    assert untracked(observe(with_submodule)[0]) == ["sub/new.py"]


def test_more_submodules_than_are_looked_into_are_said(with_submodule, observe, monkeypatch):
    monkeypatch.setattr(work_tree, "MAX_SUBMODULES", 0)
    (change,) = observe(with_submodule)[0].changed
    assert (change.path, change.reason) == ("sub", "more than 0 submodules are not looked into")


def test_more_code_than_is_listed_is_said_and_code_is_named_before_data(repository, observe, monkeypatch):
    ignore(repository, "build/")
    put(repository, *(f"build/m{each:03}.py" for each in range(30)), "a-note")
    assert untracked(observe(repository)[0])[-1] == "a-note"
    monkeypatch.setattr(unlisted_code, "MAX_NAMES", 20)
    found, unobserved = observe(repository)
    assert untracked(found) == ["a-note"]
    assert unobserved == {"git.ignored": "more than 20 files that git does not list: there may be code among them"}


def test_folders_near_the_top_are_looked_into_first(repository, observe, monkeypatch):
    ignore(repository, "a/", "b/")
    put(repository, "a/deep/down/x.py", "b/y.py")
    monkeypatch.setattr(unlisted_code, "MAX_FOLDERS", 3)
    found, unobserved = observe(repository)
    assert untracked(found) == ["b/y.py"]
    assert unobserved == {"git.ignored": "more than 3 folders that git does not list: the rest may hold code"}


def test_a_folder_that_may_not_be_read_is_said(repository, observe, monkeypatch):
    ignore(repository, "closed/")
    put(repository, "closed/x.py")
    scandir = os.scandir

    def refused(path):
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(unlisted_code.os, "scandir", refused)
    assert "Permission denied" in observe(repository)[1]["git.ignored"]


def test_the_repository_is_that_of_the_script_if_it_is_in_one(repository, tmp_path):
    plain = tmp_path / "plain"
    plain.mkdir()
    assert repository_folder(plain, repository / "pkg") == repository / "pkg"
    assert repository_folder(repository, plain) == repository
    assert repository_folder(plain, None) == plain
