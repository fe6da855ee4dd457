from __future__ import annotations

import os

import pytest

from saksi.edges.approver_keys import approver_keys, create_key_file, read_key_file, trust_approver
from saksi.edges.home import Home
from saksi.proofs.tlog.note_key import NoteSigner
from saksi.proofs.tlog.signature_types import COSIGNATURE
from saksi.words.errors import UsageError

SEED = bytes(range(32))


@pytest.fixture
def home(tmp_path):
    return Home(tmp_path / "home")


def test_a_new_key_is_private_and_its_public_half_is_not(tmp_path):
    key = create_key_file(tmp_path / "maria.key", "maria")
    assert (tmp_path / "maria.key").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "maria.key.vkey").stat().st_mode & 0o777 == 0o644
    assert (tmp_path / "maria.key.vkey").read_text() == f"{key}\n"
    signer = read_key_file(tmp_path / "maria.key")
    assert (signer.key, signer.name) == (key, "maria")


@pytest.mark.parametrize("there", ["maria.key", "maria.key.vkey"])
def test_nothing_is_overwritten(tmp_path, there):
    (tmp_path / there).write_text("mine")
    with pytest.raises(UsageError, match="is there already"):
        create_key_file(tmp_path / "maria.key", "maria")
    assert [each.name for each in tmp_path.iterdir()] == [there]
    assert (tmp_path / there).read_text() == "mine"


def test_a_name_that_names_no_key_leaves_nothing_behind(tmp_path):
    with pytest.raises(UsageError, match="--name"):
        create_key_file(tmp_path / "k", "two words")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o666])
def test_a_key_that_others_can_read_or_write_is_refused_with_the_remedy(tmp_path, mode):
    create_key_file(tmp_path / "k", "maria")
    (tmp_path / "k").chmod(mode)
    with pytest.raises(UsageError, match=r"other accounts.*chmod 600"):
        read_key_file(tmp_path / "k")


def test_what_is_no_key_file_is_refused(tmp_path):
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "fifo", 0o600)
    (tmp_path / "text").write_text("hello")
    (tmp_path / "text").chmod(0o600)
    for name in ("folder", "fifo", "text", "absent"):
        with pytest.raises(UsageError, match=name):
            read_key_file(tmp_path / name)


def test_approvers_are_enrolled_once_and_listed(tmp_path, home):
    assert approver_keys(home) == ()
    maria = create_key_file(tmp_path / "maria", "maria")
    jose = create_key_file(tmp_path / "jose", "team/jose")
    for _ in range(2):
        assert trust_approver(home, tmp_path / "maria.vkey") == maria
    trust_approver(home, tmp_path / "jose.vkey")
    assert set(approver_keys(home)) == {maria, jose}
    folder = home.keys / "approvers"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert sorted(each.name for each in folder.iterdir()) == sorted(
        [f"maria-{maria.key_id.hex()}.vkey", f"team_jose-{jose.key_id.hex()}.vkey"]
    )


def test_what_is_not_one_key_that_can_approve_is_refused(tmp_path, home):
    vkeys = [NoteSigner(name, SEED).vkey for name in ("a", "b")]
    cosigner = NoteSigner("c", SEED, algorithm=COSIGNATURE).vkey
    for content, match in (
        ("\n".join(vkeys), "2 keys"),
        ("", "0 keys"),
        (cosigner, "signs no approvals"),
        ("x", "line 1"),
    ):
        (tmp_path / "file").write_text(content)
        with pytest.raises(UsageError, match=match):
            trust_approver(home, tmp_path / "file")
    assert approver_keys(home) == ()


def test_a_bad_line_among_the_approvers_refuses_by_file_and_line(home):
    folder = home.keys / "approvers"
    folder.mkdir(parents=True)
    (folder / "maria.vkey").write_text("# who\nnonsense\n")
    with pytest.raises(UsageError, match=r"maria\.vkey, line 2"):
        approver_keys(home)
