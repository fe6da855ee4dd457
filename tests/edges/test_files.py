"""A digest belongs to one state of one regular file; everything else is a reason."""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path

import pytest

from saksi.edges import files
from saksi.edges.files import OnBehalf, hash_file, state_of


def test_a_regular_file_has_its_digest(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"weights" * 300_000)
    hashed = hash_file(path, state_of(path.stat()))
    assert (hashed.size, hashed.reason) == (2_100_000, None)
    assert hashed.digest.hex == hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_file_in_another_state_has_a_reason(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"one")
    state = state_of(path.stat())
    path.write_bytes(b"other")
    assert "replaced" in hash_file(path, state).reason


@pytest.mark.parametrize(
    "path", ["/dev/zero", "/proc/self/maps", "/proc/kcore", "/", "a\0b", "x" * 10_000, "", "\udcff"]
)
def test_what_is_no_file_has_a_reason_at_once(path):
    hashed = hash_file(Path(path), None)
    assert hashed.digest is None
    assert hashed.reason


def test_a_fifo_does_not_hold_the_reader(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    assert hash_file(tmp_path / "fifo", None).reason == "not a regular file"


def test_a_sparse_file_of_many_terabytes_is_not_read(tmp_path):
    path = tmp_path / "sparse"
    with path.open("wb") as file:
        file.truncate(1 << 42)
    hashed = hash_file(path, None)
    assert hashed.digest is None
    assert "not read" in hashed.reason


def test_a_file_that_grows_as_it_is_read_ends(tmp_path, monkeypatch):
    path = tmp_path / "log"
    path.write_bytes(b"x")
    monkeypatch.setattr(files, "BUFFER", 1)

    class Growing:
        def update(self, content):
            with path.open("ab") as file:
                file.write(b"xx")

    monkeypatch.setattr(hashlib, "sha256", Growing)
    assert "changed" in hash_file(path, None).reason


@pytest.mark.parametrize("error", [MemoryError(), ValueError("x"), RuntimeError("y")])
def test_no_error_of_any_kind_escapes(tmp_path, monkeypatch, error):
    def fail(found):
        raise error

    monkeypatch.setattr(files, "state_of", fail)
    (tmp_path / "file").write_bytes(b"x")
    assert type(error).__name__ in hash_file(tmp_path / "file", None).reason


@pytest.fixture
def shared(monkeypatch):
    """A folder that everybody may enter, of an account that is neither the agent's nor the job's."""
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        os.chmod(folder, 0o755)
        yield Path(folder)


def job(**changed):
    return OnBehalf(**{"account": os.getuid() + 2, **changed})


def test_what_the_jobs_account_cannot_see_is_answered_like_what_is_not_there(shared):
    secret, closed = shared / "secret", shared / "closed"
    secret.write_bytes(b"x" * 70)
    secret.chmod(0o600)
    os.mkfifo(shared / "fifo", 0o600)
    (shared / "folder").mkdir(mode=0o700)
    closed.mkdir()
    (closed / "open").write_bytes(b"x")
    (closed / "open").chmod(0o644)
    closed.chmod(0o750)
    (shared / "link").symlink_to(secret)
    (shared / "loop").symlink_to("loop")
    wrong = state_of(closed.stat())
    unseen = hash_file(shared / "absent", None, on_behalf_of=job())
    assert (unseen.digest, unseen.size) == (None, None)
    assert "permission" in unseen.reason
    for name in ("secret", "fifo", "folder", "closed/open", "closed/absent", "link", "loop", "a\0b", "secret/x"):
        for expected in (None, wrong):
            assert hash_file(shared / name, expected, on_behalf_of=job()) == unseen, name


def test_what_everybody_may_read_and_what_belongs_to_the_job_is_read(shared):
    (shared / "open").write_bytes(b"x")
    (shared / "open").chmod(0o644)
    (shared / "own").write_bytes(b"x")
    (shared / "own").chmod(0o600)
    assert hash_file(shared / "open", None, on_behalf_of=job()).digest is not None
    assert hash_file(shared / "own", None, on_behalf_of=job(account=os.getuid())).digest is not None


def test_nothing_is_told_of_the_agents_own_home_whoever_owns_what_is_there(shared):
    home = shared / "home"
    home.mkdir()
    (home / "log").write_bytes(b"x")
    (shared / "link").symlink_to(home)
    own = job(account=os.getuid(), private=(home,))
    absent = hash_file(shared / "absent", None, on_behalf_of=own)
    assert hash_file(shared / "link" / "log", None, on_behalf_of=own) == absent
    assert hash_file(home / "log", None, on_behalf_of=own) == absent


def test_a_file_that_takes_the_place_of_the_jobs_own_is_not_told_of(shared, monkeypatch):
    (shared / "own").write_bytes(b"x")
    (shared / "home").mkdir()
    (shared / "home" / "secret").write_bytes(b"y" * 70)
    own = job(account=os.getuid(), private=(shared / "home",))
    absent = hash_file(shared / "absent", None, on_behalf_of=own)
    real = os.open
    with monkeypatch.context() as patched:
        patched.setattr(os, "open", lambda path, *rest: real(shared / "home" / "secret", *rest))
        assert hash_file(shared / "own", None, on_behalf_of=own) == absent
