"""RECORD as installers write it, as Debian does, and as nobody should."""

from __future__ import annotations

import hashlib
import posixpath
from base64 import urlsafe_b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saksi.judgement.environment import record_file
from saksi.judgement.environment.record_file import RecordRow, parse_record
from saksi.words.errors import MalformedInput

DIGEST = hashlib.sha256(b"x").digest()
HASH = f"sha256={urlsafe_b64encode(DIGEST).rstrip(b'=').decode()}"
TEXT = f"sha256:{DIGEST.hex()}"


def test_the_rows_of_a_wheel():
    content = f'torch/__init__.py,{HASH},1\n"a, b.py",{HASH},1\r\n\ntorch/x.pyc,,\ntorch-2.dist-info/RECORD,,\n'
    assert parse_record(content.encode()) == (
        RecordRow("torch/__init__.py", "sha256", TEXT, 1),
        RecordRow("a, b.py", "sha256", TEXT, 1),
        RecordRow("torch/x.pyc", None, None, None),
        RecordRow("torch-2.dist-info/RECORD", None, None, None),
    )


def test_digests_in_other_spellings_and_of_other_algorithms():
    rows = parse_record(f"a,{HASH}=,\nb,sha256={DIGEST.hex()},\nc,sha512=abc_-,\nd,md5=0123,\n".encode())
    assert [(each.algorithm, each.digest) for each in rows] == [
        ("sha256", TEXT), ("sha256", TEXT), ("sha512", None), ("md5", None),
    ]  # fmt: skip


@pytest.mark.parametrize(("written", "path", "shape"), [
    ("../../../bin/x", "../../../bin/x", "plain"), ("./a//b.py", "a/b.py", "not-normal"), ("a/../b", "b", "not-normal"),
    ("a\\b.py", "a/b.py", "backslashes"), ("/usr/bin/x", "/usr/bin/x", "absolute"), ("a/", "a", "not-normal"),
    (".hidden", ".hidden", "plain"), ("a/.hidden", "a/.hidden", "plain"),
])  # fmt: skip
def test_paths_are_put_in_normal_form_and_that_is_said(written, path, shape):
    (row,) = parse_record(f"{written},,\n".encode())
    assert (row.path, row.shape) == (path, shape)


@pytest.mark.parametrize(("content", "said"), [
    (b"a,b\n", "line 1: 2 fields"), (b"a,,\nb,,,\n", "line 2: 4 fields"), (b",,\n", "line 1: a path that is empty"),
    (b"a,sha256=short,\n", "'sha256=short' is no hash"), (b"a,nonsense,\n", "is no hash"), (b"a,,1x\n", "is no size"),
    (b"a,,-1\n", "is no size"), (b"a\0b,,\n", "line 1"), (b"\xff,,\n", "byte 0 is not UTF-8"),
    (b'"a,,\n', "RECORD"), (b"x" * 4097 + b",,\n", "too long"), (f"a,{HASH[:-1]}B,1\n".encode(), "is no hash"),
])  # fmt: skip
def test_what_is_no_record_is_refused_with_its_place(content, said):
    with pytest.raises(MalformedInput, match=r"^RECORD") as caught:
        parse_record(content)
    assert said in str(caught.value)


def test_limits(monkeypatch):
    monkeypatch.setattr(record_file, "MAX_RECORD_ROWS", 2)
    with pytest.raises(MalformedInput, match="more than 2 rows"):
        parse_record(b"a,,\n" * 3)
    monkeypatch.setattr(record_file, "MAX_RECORD_BYTES", 3)
    with pytest.raises(MalformedInput, match="more than 3 bytes"):
        parse_record(b"a,,\n")


@given(st.binary(max_size=200) | st.text('abc,"\r\n./\\=\0sha256_-0', max_size=80).map(str.encode))
def test_any_bytes_are_rows_or_refused(content):
    try:
        rows = parse_record(content)
    except MalformedInput:
        rows = ()
    for row in rows:
        assert row.path
        assert "\0" not in row.path
        assert row.path == posixpath.normpath(row.path)
        assert (row.digest is None) or row.algorithm == "sha256"
