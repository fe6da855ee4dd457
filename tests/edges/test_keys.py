from __future__ import annotations

import errno
import itertools
import os
import subprocess
import sys
from contextlib import suppress

import msgspec
import pytest

from saksi.edges.home import Home
from saksi.edges.keys import KEY_ROTATION, KeyRotation, open_keyring, read_trust_file
from saksi.proofs.attest import envelope
from saksi.proofs.attest.statement import parse_statement
from saksi.proofs.tlog.note_key import NoteSigner, VerifierKey, format_verifier_key
from saksi.proofs.tlog.signature_types import ED25519
from saksi.words.errors import MissingKey, SaksiError, StoreError, UsageError


@pytest.fixture
def home(tmp_path):
    return Home(tmp_path / "home")


def test_the_first_use_makes_keys_and_later_ones_find_them(home):
    first = open_keyring(home)
    again = open_keyring(home)
    assert again.signer.key == first.signer.key
    assert again.redaction_key == first.redaction_key
    assert first.signer.name.startswith("saksi-installation-")
    assert (home.keys / "installation.vkey").read_text() == f"{first.signer.vkey}\n"
    assert home.keys.stat().st_mode & 0o777 == 0o700
    for name in ("installation.seed", "redaction.key"):
        assert (home.keys / name).stat().st_mode & 0o777 == 0o600
    assert sorted(each.name for each in home.keys.iterdir()) == [
        "installation.seed",
        "installation.vkey",
        "redaction.key",
    ]


def test_the_seed_is_in_no_repr(home):
    keyring = open_keyring(home)
    assert (home.keys / "installation.seed").read_text().strip() not in repr(keyring)
    assert keyring.redaction_key.hex() not in repr(keyring)


def test_first_uses_at_once_end_with_one_key(home):
    program = (
        "import sys, pathlib; from saksi.edges.home import Home; from saksi.edges.keys import open_keyring; "
        "sys.stdin.read(); keys = open_keyring(Home(pathlib.Path(sys.argv[1]))); "
        "print(keys.signer.vkey, keys.redaction_key.hex())"
    )
    running = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(home.root)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(4)
    ]
    for process in running:
        process.stdin.close()
    answers = set()
    for process in running:
        answers.add(process.stdout.read())
        process.stdout.close()
        assert process.wait(60) == 0
    assert len(answers) == 1
    assert not [each for each in home.keys.iterdir() if each.name.startswith(".")]


def test_a_faster_first_run_is_believed(home):
    # The other run appears between our look and our link.
    calls = itertools.count()

    def randomness(count):
        if next(calls) == 0:
            other.append(open_keyring(home))
        return bytes(count)

    other = []
    assert open_keyring(home, randomness=randomness).signer.key == other[0].signer.key


def test_without_create_a_missing_key_is_said(home):
    with pytest.raises(MissingKey, match="saksi keys init"):
        open_keyring(home, create=False)
    assert not home.root.exists()
    open_keyring(home)
    assert open_keyring(home, create=False)


@pytest.mark.parametrize("name", ["installation.seed", "redaction.key"])
def test_a_secret_that_others_can_read_is_refused(home, name):
    open_keyring(home)
    (home.keys / name).chmod(0o640)
    with pytest.raises(StoreError, match=r"can be read or written by other accounts \(chmod 600"):
        open_keyring(home)


@pytest.mark.parametrize("content", ["", "x" * 64, "ab" * 31, "AB" * 32, "ab" * 33, "ab" * 32 + "\n\n"])
def test_a_seed_that_is_none_is_refused(home, content):
    open_keyring(home)
    (home.keys / "installation.seed").write_text(content)
    with pytest.raises(StoreError, match="not a key of 64 hexadecimal digits"):
        open_keyring(home)


def test_a_link_in_place_of_the_seed_is_not_followed(home, tmp_path):
    open_keyring(home)
    (home.keys / "installation.seed").rename(tmp_path / "seed")
    (home.keys / "installation.seed").symlink_to(tmp_path / "seed")
    with pytest.raises(StoreError, match="symbolic link"):
        open_keyring(home)


def test_a_folder_in_place_of_the_seed(home):
    (home.keys / "installation.seed").mkdir(parents=True)
    with pytest.raises(StoreError):
        open_keyring(home)


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_home_that_cannot_be_written(home):
    home.root.mkdir(mode=0o500)
    with pytest.raises(StoreError, match=r"cannot open the keys in .*: Permission denied"):
        open_keyring(home)


def test_a_home_on_a_read_only_disk(home, monkeypatch):
    def refuse(*_arguments, **_options):
        raise OSError(errno.EROFS, "")

    monkeypatch.setattr(os, "link", refuse)
    with pytest.raises(StoreError, match=r"Read-only file system.*set SAKSI_HOME"):
        open_keyring(home)
    monkeypatch.undo()
    keyring = open_keyring(home)
    monkeypatch.setattr(os, "link", refuse)
    assert open_keyring(home).signer.key == keyring.signer.key  # with keys made, nothing is written


def test_a_home_below_a_file(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreError, match="cannot open the keys in"):
        open_keyring(Home(tmp_path / "file" / "home"))


def test_a_lost_public_half_is_made_again(home):
    vkey = open_keyring(home).signer.vkey
    (home.keys / "installation.vkey").write_text("other")
    open_keyring(home)
    assert (home.keys / "installation.vkey").read_text() == f"{vkey}\n"


def test_rotation_keeps_the_old_key_trusted_and_says_who_followed(home):
    old = open_keyring(home)
    new = old.rotate(now_ns=5)
    assert new.signer.key != old.signer.key
    assert new.redaction_key == old.redaction_key
    assert open_keyring(home).signer.key == new.signer.key
    assert open_keyring(home).trusted() == (new.signer.key, old.signer.key)
    (told,) = (home.keys / "rotations").iterdir()
    payload = envelope.verify(envelope.parse_envelope(told.read_bytes()), [old.signer.key])
    statement = parse_statement(payload)
    assert statement.predicate_type == KEY_ROTATION
    rotation = msgspec.json.decode(statement.predicate, type=KeyRotation)
    assert rotation == KeyRotation(previous=old.signer.vkey, next=new.signer.vkey, rotated_ns=5)


def test_rotation_by_a_keyring_that_is_out_of_date_follows_the_key_that_is_there(home):
    first = open_keyring(home)
    second = first.rotate(now_ns=5)
    third = first.rotate(now_ns=6)
    assert third.trusted() == (third.signer.key, first.signer.key, second.signer.key)


@pytest.mark.parametrize("failing", range(1, 8))
def test_a_rotation_that_is_cut_leaves_a_keyring_that_trusts_every_key_that_signed(home, monkeypatch, failing):
    old = open_keyring(home)
    calls = itertools.count(1)
    real = os.fsync

    def fsync(fd):
        if next(calls) == failing:
            raise OSError(5, "Input/output error")
        real(fd)

    monkeypatch.setattr(os, "fsync", fsync)
    with suppress(StoreError):
        old.rotate(now_ns=5)
    monkeypatch.undo()
    now = open_keyring(home)
    assert old.signer.key in now.trusted()
    assert now.signer.key in now.trusted()
    assert now.rotate(now_ns=6).signer.key != now.signer.key


def test_export_writes_the_public_half_alone_and_over_nothing(home, tmp_path):
    keyring = open_keyring(home)
    keyring.export(tmp_path / "out.vkey")
    assert read_trust_file(tmp_path / "out.vkey") == (keyring.signer.key,)
    with pytest.raises(UsageError, match="is there already"):
        keyring.export(tmp_path / "out.vkey")
    with pytest.raises(StoreError):
        keyring.export(tmp_path / "no" / "out.vkey")


def test_a_trust_file_is_lines_of_keys(tmp_path):
    one, other = (NoteSigner(name, bytes([n]) * 32).vkey for n, name in enumerate(("one", "other"), 1))
    path = tmp_path / "trust"
    path.write_text(f"# ours\n{one}\n\n  {other}\r\n{one}\n")
    assert [str(each) for each in read_trust_file(path)] == [one, other]


def test_one_bad_line_refuses_the_trust_file_and_is_named(tmp_path):
    path = tmp_path / "trust"
    small_order = format_verifier_key(VerifierKey.of("bad", ED25519, b"\1" + bytes(31)))
    for line in ("nonsense", small_order, "\xff"):
        path.write_text(f"{NoteSigner('one', bytes(32)).vkey}\n{line}\n", encoding="latin-1")
        with pytest.raises(UsageError, match="trust, line 2: ") as refused:
            read_trust_file(path)
        assert "\n" not in str(refused.value)


def test_trust_files_that_cannot_be_read(home, tmp_path):
    with pytest.raises(UsageError, match="No such file"):
        read_trust_file(tmp_path / "missing")
    with pytest.raises(UsageError, match="Is a directory"):
        read_trust_file(tmp_path)
    (tmp_path / "large").write_bytes(b"#" * (1 << 21))
    with pytest.raises(UsageError, match="longer than"):
        read_trust_file(tmp_path / "large")
    keyring = open_keyring(home)
    (home.keys / "trusted.vkeys").write_text("nonsense\n")
    with pytest.raises(SaksiError, match="line 1"):
        keyring.trusted()
