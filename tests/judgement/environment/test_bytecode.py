"""Names and headers of bytecode."""

from __future__ import annotations

import importlib.util
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saksi.judgement.environment.bytecode import is_bytecode, read_name, state_of

TAG = "cpython-311"
MAGIC = importlib.util.MAGIC_NUMBER


@pytest.mark.parametrize(("path", "named"), [
    ("a/__pycache__/m.cpython-311.pyc", ("a/m.py", 0)),
    ("__pycache__/m.cpython-311.opt-1.pyc", ("m.py", 1)),
    ("a/__pycache__/m.cpython-311.opt-2.pyc", ("a/m.py", 2)),
    ("a/__pycache__/m.n.cpython-311.pyc", ("a/m.n.py", 0)),
    ("a/__pycache__/m.cpython-312.pyc", None),
    ("a/__pycache__/m.cpython-311.opt-3.pyc", None),
    ("a/__pycache__/m.cpython-311-pytest-8.3.pyc", None),
    ("a/__pycache__/m.pyc", None),
    ("a/m.pyc", ("a/m.py", 0)),
    ("my__pycache__/m.pyc", ("my__pycache__/m.py", 0)),
])  # fmt: skip
def test_which_source_a_name_means(path, named):
    assert read_name(path, TAG) == named


def test_without_a_cache_tag_nothing_in_the_folder_is_looked_for():
    assert read_name("__pycache__/m.cpython-311.pyc", None) is None
    assert read_name("__pycache__/m.None.pyc", None) is None


def head(flags=0, mtime=7, size=9, magic=MAGIC):
    return magic + struct.pack("<III", flags, mtime, size)


SOURCE = (9, 7 * 10**9 + 5)
CACHED = f"a/__pycache__/m.{TAG}.pyc"


@pytest.mark.parametrize(("path", "first", "source", "state"), [
    (CACHED, head(), SOURCE, "executed"),
    (CACHED, head(mtime=8), SOURCE, "stale"),
    (CACHED, head(size=8), SOURCE, "stale"),
    (CACHED, head(flags=1), SOURCE, "unchecked"),
    (CACHED, head(flags=3), SOURCE, "hash-checked"),
    (CACHED, head(flags=2), SOURCE, "foreign"),
    (CACHED, head(flags=4), SOURCE, "foreign"),
    (CACHED, head(magic=b"\0\0\r\n"), SOURCE, "foreign"),
    (CACHED, head()[:15], SOURCE, "short"),
    (CACHED, head(), None, "orphan"),
    ("a/__pycache__/m.cpython-36.pyc", head(), SOURCE, "foreign"),
    ("a/m.pyc", head(), SOURCE, "shadowed"),
    ("a/m.pyc", head(), None, "sourceless"),
    ("a/m.pyo", head(), None, "foreign"),
])  # fmt: skip
def test_what_python_does_with_it(path, first, source, state):
    assert state_of(path, first, magic=MAGIC, named=read_name(path, TAG), source=source) == state


def test_times_and_sizes_are_compared_as_python_does_it_modulo_2_to_the_32nd():
    source = (2**32 + 9, (2**32 + 7) * 10**9)
    assert state_of(CACHED, head(), magic=MAGIC, named=("a/m.py", 0), source=source) == "executed"


@given(st.text("ab/._-0123pyco", max_size=40), st.binary(max_size=20))
def test_any_name_and_head_have_a_state(name, first):
    path = f"x{name}.pyc"
    assert is_bytecode(path)
    assert state_of(path, first, magic=MAGIC, named=read_name(path, TAG), source=SOURCE)
