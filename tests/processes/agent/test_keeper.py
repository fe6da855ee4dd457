"""Keeping bytecode: the job chose the paths and the interpreter."""

from __future__ import annotations

import json
import os
import sys
import time

import pytest

from saksi.edges.bytecode import KeptStore, is_sound, read_index
from saksi.processes.agent import keeper
from saksi.processes.agent.keeper import keep


@pytest.fixture
def store(tmp_path):
    return KeptStore(folder=tmp_path / "kept")


def test_sources_are_compiled_and_kept(store, tmp_path):
    (tmp_path / "module.py").write_text("x = 1\n")
    assert keep(store, interpreter=sys.executable, sources=[str(tmp_path / "module.py")]) == 1
    assert is_sound(store)
    assert keep(store, interpreter=sys.executable, sources=[str(tmp_path / "module.py")]) == 1


def test_paths_that_are_no_sources_are_left_out_at_once(store, tmp_path):
    os.mkfifo(tmp_path / "fifo.py")
    (tmp_path / "zero.py").symlink_to("/dev/zero")
    (tmp_path / "module.py").write_text("x = 1\n")
    with (tmp_path / "huge.py").open("wb") as file:
        file.truncate(keeper.MAX_SOURCE + 1)
    paths = [str(tmp_path / f"{name}.py") for name in ("fifo", "zero", "module", "huge", "absent")]
    began = time.monotonic()
    assert keep(store, interpreter=sys.executable, sources=[*paths, "a\0b.py"]) == 1
    assert time.monotonic() - began < 30


def interpreter_that_says(tmp_path, text):
    path = tmp_path / "interpreter"
    path.write_text(f"#!/bin/sh\ncat <<'END'\n{text}\nEND\n")
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize("text", ["not json", "{}", '["a"]', "[1,2,3]", '["a","b","\\u0000"]', "\xff", "[" * 5_000])
def test_what_the_compiler_says_is_not_trusted_to_be_an_answer(store, tmp_path, text):
    source = tmp_path / "module.py"
    source.write_text("x = 1\n")
    assert keep(store, interpreter=interpreter_that_says(tmp_path, text), sources=[str(source)]) == 0


@pytest.mark.parametrize("elsewhere", ["outside.pyc", "kept/prefix/../../outside.pyc", "kept/prefix/link.pyc"])
def test_bytecode_outside_the_store_is_not_taken_in(store, tmp_path, elsewhere):
    source = tmp_path / "module.py"
    source.write_text("x = 1\n")
    (tmp_path / "outside.pyc").write_bytes(b"evil")
    store.prefix.mkdir(parents=True)
    (store.prefix / "link.pyc").symlink_to(tmp_path / "outside.pyc")
    answer = json.dumps([str(source), keeper._digest(str(source)), str(tmp_path / elsewhere)])
    assert keep(store, interpreter=interpreter_that_says(tmp_path, answer), sources=[str(source)]) == 0
    assert not read_index(store).files


def test_bytecode_of_a_source_nobody_asked_for_is_not_taken_in(store, tmp_path):
    source = tmp_path / "module.py"
    source.write_text("x = 1\n")
    store.prefix.mkdir(parents=True)
    (store.prefix / "x.pyc").write_bytes(b"evil")
    answer = json.dumps(["/etc/other.py", keeper._digest(str(source)), str(store.prefix / "x.pyc")])
    assert keep(store, interpreter=interpreter_that_says(tmp_path, answer), sources=[str(source)]) == 0


def test_a_store_that_cannot_be_written_is_none(tmp_path):
    (tmp_path / "kept").write_text("a file where the folder should be")
    assert keep(KeptStore(folder=tmp_path / "kept"), interpreter=sys.executable, sources=[]) == 0
