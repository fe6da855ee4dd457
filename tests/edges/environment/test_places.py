from __future__ import annotations

import hashlib

import pytest

from edges.environment.repositories import ENVIRONMENT, git, make_repository
from judgement.seals import plain_seal
from saksi.edges.environment.observe import Launch, observe
from saksi.edges.environment.places import Places
from saksi.edges.environment.versions import MAX_VERSION_BYTES, Versions
from saksi.judgement.changed_lines import Place

KEY = b"\7" * 32


@pytest.fixture
def project(tmp_path):
    return make_repository(tmp_path / "project")


@pytest.fixture
def sealed(project, tmp_path):
    """A function that seals the project as it is now."""
    (tmp_path / "scratch").mkdir()

    def seal(*argv):
        launch = Launch(
            run="0" * 16, attempt=0, name=None, project=None, level="standard", segment=None,
            argv=argv or ("python3", "train.py"), environment=ENVIRONMENT, added={}, folder=project,
            redaction_key=KEY, cache=tmp_path, scratch=tmp_path / "scratch",
        )  # fmt: skip
        return observe(launch, now_ns=1).seal

    return seal


def places(before, after, field):
    return Places(before, after, ENVIRONMENT).of(field)


def test_an_edited_script_is_told_with_its_line_where_git_has_the_other_version(project, sealed):
    before = sealed()
    (project / "train.py").write_text("print(1)\nprint(2)\n")
    after = sealed()
    assert before.script.digest != after.script.digest
    assert places(before, after, "script") == (Place(path="train.py", line=2),)
    assert places(after, before, "script") == (Place(path="train.py", line=2),)
    (project / "train.py").write_text("something else\n")  # neither version is on the disk any more
    assert places(before, after, "script") == (Place(path="train.py", line=None),)


def test_a_script_of_another_repository_is_compared_there(project, sealed, tmp_path):
    other = make_repository(tmp_path / "other")
    before = sealed("python3", str(other / "train.py"))
    (other / "pkg" / "mod.py").write_text("x = 1\ny = 2\n")
    after = sealed("python3", str(other / "train.py"))
    assert (before.git.dirty, after.git.dirty) == (False, True)
    assert places(before, after, "git.dirtyDigest") == (Place(path="pkg/mod.py", line=2),)


def test_without_git_only_the_file_is_named(tmp_path, sealed, project):
    git(project, "checkout", "-q", "-b", "side")
    before = sealed()
    (project / "train.py").write_text("print(2)\n")
    after = sealed()
    (project / ".git").rename(tmp_path / "elsewhere")
    assert places(before, after, "script") == (Place(path="train.py", line=None),)


def test_uncommitted_changes_are_told_by_file_and_line(project, sealed):
    before = sealed()
    (project / "pkg" / "mod.py").write_text("x = 1\ny = 2\n")
    after = sealed()
    assert places(before, after, "git.dirtyDigest") == (Place(path="pkg/mod.py", line=2),)


def test_another_commit_is_told_by_file_and_line(project, sealed):
    before = sealed()
    (project / "pkg" / "mod.py").write_text("x = 2\n")
    (project / "new.py").write_text("z\n")
    git(project, "add", ".")
    git(project, "commit", "-q", "-m", "two")
    after = sealed()
    assert places(before, after, "git.commit") == (
        Place(path="new.py", line=None),
        Place(path="pkg/mod.py", line=1),
    )


def test_files_that_git_does_not_track_are_named(project, sealed):
    before = sealed()
    (project / "random.py").write_text("x\n")
    assert places(before, sealed(), "git.untracked") == (Place(path="random.py", line=None),)


def test_a_file_of_the_command_line(project, sealed):
    (project / "config.toml").write_text("a = 1\nb = 2\n")
    git(project, "add", ".")
    git(project, "commit", "-q", "-m", "configuration")
    before = sealed("python3", "train.py", "config.toml")
    (project / "config.toml").write_text("a = 1\nb = 3\n")
    after = sealed("python3", "train.py", "config.toml")
    assert places(before, after, "files.config.toml") == (Place(path="config.toml", line=2),)


def test_a_version_counts_only_with_the_digest_that_the_seal_says(project, sealed):
    before = sealed()
    (project / "train.py").write_text("print(2)\n")
    after = sealed()
    (project / "train.py").write_text("print(3)\n")
    assert hashlib.sha256(b"print(3)\n").hexdigest() not in str(after.script.digest)
    assert places(before, after, "script") == (Place(path="train.py", line=None),)


@pytest.mark.parametrize("field", ["script", "git.commit", "git.dirtyDigest", "git.untracked", "kernel", "files.x"])
def test_a_seal_of_another_machine_names_no_line_and_raises_nothing(field):
    seal = plain_seal()
    assert all(each.line is None for each in places(seal, seal, field))


def test_what_is_large_or_no_file_is_not_read(project):
    versions = Versions(project, ENVIRONMENT)
    (project / "large").write_bytes(b"x" * (MAX_VERSION_BYTES + 1))
    assert versions.on_disk("large") is None
    assert versions.on_disk("pkg") is None
    assert versions.on_disk("a\0b") is None
    assert versions.at_commit("0" * 40, "train.py") is None
    assert versions.at_commit(git(project, "rev-parse", "HEAD"), "train.py") == b"print(1)\n"
    assert versions.path_in_tree("/etc/passwd") is None


def test_a_repository_s_configuration_has_no_say(project, sealed, tmp_path):
    before = sealed()
    git(project, "config", "core.fsmonitor", f"touch {tmp_path / 'owned'}")
    git(project, "config", "diff.external", f"touch {tmp_path / 'owned'}")
    (project / "pkg" / "mod.py").write_text("x = 3\n")
    git(project, "-c", "core.fsmonitor=false", "commit", "-qam", "two")
    assert places(before, sealed(), "git.commit") == (Place(path="pkg/mod.py", line=1),)
    assert not (tmp_path / "owned").exists()
