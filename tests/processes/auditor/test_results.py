from __future__ import annotations

import hashlib
import os

import msgspec
import pytest

from saksi.processes.auditor.record_files import record_files
from saksi.processes.auditor.results import ReplayResult, checked, signed
from saksi.proofs.attest.envelope import IN_TOTO, format_envelope, parse_envelope, sign
from saksi.proofs.attest.statement import ResourceDescriptor, format_statement, make_statement
from saksi.proofs.tlog.note_key import NoteSigner
from saksi.proofs.tlog.signature_types import SignatureRefused
from saksi.words.errors import MalformedInput, SaksiError

SIGNER = NoteSigner("worker", b"a" * 32)
TASK = "ab" * 32
FILES = {"home/log": {"sha256": "cd" * 32}, "home/head": {"sha256": "ef" * 32}}
RESULT = ReplayResult(code=3, last_words="said", enough=True, took_more=7)


def test_a_signed_result_is_what_was_said():
    assert checked(signed(RESULT, TASK, FILES, SIGNER), SIGNER.key, TASK, FILES) == RESULT
    assert checked(signed(ReplayResult(), TASK, {}, SIGNER), SIGNER.key, TASK, {}) == ReplayResult()


@pytest.mark.parametrize(
    ("task", "files"),
    [
        ("ac" * 32, FILES),
        (TASK, {}),
        (TASK, {**FILES, "home/more": {"sha256": "cd" * 32}}),
        (TASK, {**FILES, "home/log": {"sha256": "ce" * 32}}),
        (TASK, {**FILES, "home/head": {"saksiLink": "ef" * 32}}),
    ],
)
def test_a_result_of_another_task_or_of_other_files_is_refused(task, files):
    with pytest.raises(MalformedInput, match="subjects are not what is here"):
        checked(signed(RESULT, TASK, FILES, SIGNER), SIGNER.key, task, files)


def test_a_result_of_another_worker_is_refused():
    with pytest.raises(SignatureRefused):
        checked(signed(RESULT, TASK, FILES, SIGNER), NoteSigner("worker", b"b" * 32).key, TASK, FILES)


def test_every_changed_byte_of_a_result_is_refused():
    content = signed(RESULT, TASK, FILES, SIGNER)
    for at in range(len(content)):
        with pytest.raises(SaksiError):
            checked(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :], SIGNER.key, TASK, FILES)


def test_nothing_and_another_predicate_are_refused():
    with pytest.raises(MalformedInput):
        checked(b"", SIGNER.key, TASK, FILES)
    statement = make_statement([ResourceDescriptor(name="task", digest={"saksiTask": TASK})], "urn:other", RESULT)
    other = format_envelope(sign(IN_TOTO, format_statement(statement), [SIGNER]))
    with pytest.raises(MalformedInput, match="predicate type is 'urn:other'"):
        checked(other, SIGNER.key, TASK, {})
    payload = parse_envelope(signed(RESULT, TASK, {}, SIGNER)).payload.replace(b'"code":3', b'"code":"3"')
    with pytest.raises(MalformedInput):
        checked(format_envelope(sign(IN_TOTO, payload, [SIGNER])), SIGNER.key, TASK, {})
    assert msgspec.json.decode(payload)["predicate"]["code"] == "3"


@pytest.fixture
def record(tmp_path):
    for name in ("home/run", "runs", "tmp"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "home/run/log").write_bytes(b"log")
    (tmp_path / "tmp/other").write_bytes(b"no part of the record")
    return tmp_path


def test_files_are_known_by_path_and_content(record):
    (record / "runs/also").write_bytes(b"log")
    found = record_files(record)
    assert list(found) == ["home/run/log", "runs/also"]
    assert found["home/run/log"] == found["runs/also"] == {"sha256": hashlib.sha256(b"log").hexdigest()}


@pytest.mark.parametrize("kind", ["file", "folder", "nowhere", "top", "pipe"])
def test_what_leads_elsewhere_is_in_no_record(record, kind):
    if kind == "pipe":
        os.mkfifo(record / "runs/pipe")
    elif kind == "top":
        (record / "runs").rmdir()
        (record / "runs").symlink_to("tmp")
    else:
        (record / "runs/link").symlink_to({"file": "../tmp/other", "folder": "../tmp", "nowhere": "nowhere"}[kind])
    with pytest.raises(MalformedInput, match="is a link, a pipe or a socket"):
        record_files(record)


def test_a_file_that_has_no_end_and_files_without_number_are_refused(record, monkeypatch):
    with (record / "runs/big").open("wb") as file:
        file.truncate(8 << 40)
    with pytest.raises(MalformedInput, match="GiB"):
        record_files(record)
    monkeypatch.setattr("saksi.processes.auditor.record_files.MAX_FILES", 1)
    with pytest.raises(MalformedInput, match="more than 1 files"):
        record_files(record)
