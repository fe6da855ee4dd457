"""Looks at a real environment's files."""

from __future__ import annotations

import os
import sys
import time

import pytest

from edges.environment.environments import ENVIRONMENT, SGD, Environment, later, without_stdlib
from saksi.edges.environment.interpreter import NotKnown
from saksi.edges.environment.watched_files import keep_tree, look_at, question_of, recall_tree
from saksi.judgement.environment.watched_files import changes_between, tree_of

PATH = "toytorch/sgd.py"


@pytest.fixture
def environment(tmp_path, monkeypatch):
    without_stdlib(monkeypatch)
    made = Environment(tmp_path / "venv")
    made.install(files={PATH: SGD, "toytorch/__init__.py": ""})
    made.cache = tmp_path / "cache"
    return made


def look(environment, **options):
    options.setdefault("now_ns", later())
    return look_at(environment.question(cache=environment.cache), **options)


def changed(before, after):
    return [(each.path, each.what) for each in changes_between(before, after).listed]


def edit(file, text):
    file.write_text(file.read_text() + text)


def test_what_did_not_change_has_the_same_tree_from_the_cache_and_without(environment):
    first = look(environment)
    assert first.reason is None
    assert ("purelib", PATH) in first.files
    assert tree_of(first) == tree_of(look(environment)) == tree_of(look(environment, whole=True))
    assert changed(first, look(environment, before=first)) == []


def test_bytecode_that_the_job_writes_is_no_change(environment):
    first = look(environment)
    environment.compile(PATH)
    assert changed(first, look(environment, before=first)) == []
    environment.put("toytorch/extra.pyc", b"x")
    assert changed(first, look(environment, before=first)) == [("toytorch/extra.pyc", "added")]


def test_an_edit_is_seen_and_so_is_one_that_was_taken_back_with_its_time(environment):
    file = environment.site / PATH
    first = look(environment)
    text, times = file.read_bytes(), file.stat()
    edit(file, "# edited\n")
    second = look(environment, before=first)
    assert changed(first, second) == [(PATH, "changed")]
    file.write_bytes(text)
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    third = look(environment, before=second)
    assert tree_of(third) == tree_of(first)
    assert changed(first, third) == [(PATH, "rewritten")]


def test_another_link_to_a_file_explains_its_ctime(environment, tmp_path):
    first = look(environment)
    os.link(environment.site / PATH, tmp_path / "elsewhere.py")
    assert changed(first, look(environment, before=first)) == [(PATH, "relinked")]


def test_a_file_that_was_young_at_the_look_before_is_read_again(environment, monkeypatch):
    first = look(environment, now_ns=time.time_ns())
    read = []
    from saksi.edges.environment import watched_files as module  # noqa: PLC0415

    whole = module.read_files
    monkeypatch.setattr(
        module, "read_files", lambda files, known, **options: read.extend(files) or whole(files, known, **options)
    )
    look(environment, before=first)
    assert PATH in {each.path for each in read}
    read.clear()
    settled = look(environment)
    read.clear()
    look(environment, before=settled)
    assert read == []


def test_an_unreadable_file_and_one_look_that_is_told_to_stop_have_no_tree(environment):
    (environment.site / "lost.py").symlink_to("nowhere")
    found = look(environment)
    assert tree_of(found) is None
    assert "lost.py: a link to something that is not there" in found.reason
    stopped = look(environment, whole=True, go_on=lambda: False)
    assert tree_of(stopped) is None
    assert stopped.reason.startswith("the attempt was closed before every file was read")


def test_the_listing_of_a_sealed_tree_comes_back_by_its_digest_alone(environment):
    question = environment.question(cache=environment.cache)
    first = look(environment)
    keep_tree(question, first)
    digest = str(tree_of(first))
    edit(environment.site / PATH, "# edited\n")
    assert changed(recall_tree(question, digest), look(environment)) == [(PATH, "changed")]
    (kept,) = environment.cache.rglob("trees/*")
    other = f"sha256:{'0' * 64}"
    kept.rename(kept.with_name("0" * 64))
    assert recall_tree(question, digest) is None
    assert recall_tree(question, other) is None
    kept.with_name("0" * 64).write_bytes(b"saksi.table/v1\nrubbish")
    assert recall_tree(question, other) is None
    assert recall_tree(question, "no digest") is None
    assert recall_tree(environment.question(), digest) is None


def test_output_in_a_checkout_is_no_change(environment, tmp_path):
    work = tmp_path / "work"
    work.mkdir()
    (work / "model.py").write_text("x = 1\n")
    question = environment.question(environment={**ENVIRONMENT, "PYTHONPATH": str(work)})
    first = look_at(question, now_ns=later())
    assert ("path:0", "model.py") in first.files
    (work / "log.txt").write_text("step 1")
    assert changed(first, look_at(question, now_ns=later(), before=first)) == []


def test_the_environment_of_a_command(tmp_path):
    question = question_of((sys.executable, "train.py"), ENVIRONMENT, tmp_path, cache=None)
    assert str(question.python) == sys.executable
    with pytest.raises(NotKnown):
        question_of(("no-such-program",), ENVIRONMENT, tmp_path, cache=None)


def test_a_folder_that_was_another_for_a_while_and_a_file_that_came_and_went_are_told(environment):
    site = environment.site
    environment.put("other/__init__.py", "")
    first = look(environment)
    (site / "toytorch").rename(site / "kept")
    (site / "toytorch").mkdir()
    (site / "toytorch" / "__init__.py").write_text("raise SystemExit")
    (site / "toytorch" / "__init__.py").unlink()
    (site / "toytorch").rmdir()
    (site / "kept").rename(site / "toytorch")
    (site / "other" / "sitecustomize.py").write_text("")
    (site / "other" / "sitecustomize.py").unlink()
    assert changed(first, look(environment, before=first)) == [("other/", "rewritten"), ("toytorch/", "rewritten")]


def test_bytecode_and_the_output_of_a_run_move_no_folder_that_is_told(environment, tmp_path):
    work = tmp_path / "work"
    work.mkdir()
    question = environment.question(environment={**ENVIRONMENT, "PYTHONPATH": str(work)})
    environment.compile(PATH)
    first = look_at(question, now_ns=later())
    environment.forge(PATH, SGD)
    (work / "log.txt").write_text("x")
    (work / "log.txt").unlink()
    assert changed(first, look_at(question, now_ns=later(), before=first)) == []
