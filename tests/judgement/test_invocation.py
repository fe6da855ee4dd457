from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saksi.judgement.invocation import is_python_name, read_python_arguments, read_shebang, seeds_of


@pytest.mark.parametrize(
    ("arguments", "form", "target", "flags"),
    [
        (["train.py", "-c", "x"], "script", "train.py", ()),
        (["-u", "-X", "dev", "-W", "error", "train.py"], "script", "train.py", ("-u", "-X", "dev", "-W", "error")),
        (["-Werror", "-Xdev", "-uB", "train.py"], "script", "train.py", ("-Werror", "-Xdev", "-uB")),
        (["-m", "pkg.mod", "--x"], "module", "pkg.mod", ()),
        (["-um", "pkg.mod"], "module", "pkg.mod", ("-u",)),
        (["-mpkg.mod"], "module", "pkg.mod", ()),
        (["-uc", "print(1)", "x"], "code", "print(1)", ("-u",)),
        (["-"], "stdin", "-", ()),
        ([], "stdin", "-", ()),
        (["-u"], "stdin", "-", ("-u",)),
        (["--check-hash-based-pycs", "always", "t.py"], "script", "t.py", ("--check-hash-based-pycs", "always")),
        (["-uX", "dev", "t.py"], "script", "t.py", ("-uX", "dev")),
        (["-m"], "module", "", ()),
    ],
)
def test_arguments_are_read_as_the_interpreter_reads_them(arguments, form, target, flags):
    read = read_python_arguments(arguments)
    assert (read.form, read.target, read.flags) == (form, target, flags)


def test_letters_are_those_without_a_value():
    assert read_python_arguments(["-uB", "-Wignore", "-I", "-X", "dev", "t.py"]).letters == frozenset("uBI")


@given(st.lists(st.text("-cmWXuIES abc", max_size=4), max_size=5))
def test_any_arguments_are_read(arguments):
    read = read_python_arguments(arguments)
    assert 0 <= read.rest <= len(arguments)


@pytest.mark.parametrize("name", ["python", "/usr/bin/python3", "python3.11", "pypy3", "python3.13t", "python3.12d"])
def test_interpreters_are_known_by_name(name):
    assert is_python_name(name)


@pytest.mark.parametrize("name", ["torchrun", "pythonx", "/python/bin/bash", "ipython", "python-config", ""])
def test_others_are_not(name):
    assert not is_python_name(name)


@pytest.mark.parametrize(
    ("start", "words"),
    [
        (b"#!/usr/bin/python3\nimport x", ("/usr/bin/python3",)),
        (b"#! /usr/bin/env python3\n", ("python3",)),
        (b"#!/usr/bin/env -S A=1 python3 -u\n", ("python3",)),
        (b"#!/venv/bin/python -I\n", ("/venv/bin/python", "-I")),
        (b"#!/bin/sh\n'''exec' \"/long path/python\" \"$0\" \"$@\"\n' '''\n", ("/long path/python",)),
        (b"#!/bin/sh\n'''exec' /long/python \"$0\" \"$@\"\n", ("/long/python",)),
        (b"#!/bin/sh\necho", ("/bin/sh",)),
        (b"#!\n", None),
        (b"\x7fELF", None),
        (b"", None),
    ],
)
def test_first_lines(start, words):
    assert read_shebang(start) == words


def test_seeds_are_numbers_behind_names_of_seeds():
    argv = ["python", "t.py", "--seed", "3", "--data-seed=4", "trainer.seed=5", "--seed-phrase", "horse battery"]
    environment = {"PYTHONHASHSEED": "random", "PL_GLOBAL_SEED": "7", "SEED": "not a number", "X": "1"}
    assert seeds_of(argv, environment) == {
        "--data-seed": "4",
        "--seed": "3",
        "PL_GLOBAL_SEED": "7",
        "PYTHONHASHSEED": "random",
        "trainer.seed": "5",
    }
