"""Bytecode that is made before a replay starts."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from saksi.judgement.replay.invocation import Invocation
from saksi.processes.auditor import compiled_ahead
from saksi.processes.auditor.compiled_ahead import FEW, Ahead, ahead_of, compile_ahead

PROCESSORS = {0, 1}


def invocation(*argv, path=os.environ["PATH"]):
    return Invocation(argv=argv, environment={"PATH": path}, folder="/")


@pytest.fixture
def sources(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: PROCESSORS)
    folder = tmp_path / "sources"
    folder.mkdir()
    made = [folder / f"module_{number}.py" for number in range(FEW)]
    for number, each in enumerate(made):
        each.write_text(f"NUMBER = {number}\n")
    return [str(each) for each in made]


def compiled(prefix):
    """Of the sources; what the compiler itself imports is there too."""
    return sorted(each.name for each in prefix.rglob("module_*.pyc"))


def test_every_source_is_compiled_to_where_the_program_looks_for_it_and_is_believed_there(sources, tmp_path):
    prefix = tmp_path / "bytecode"
    compile_ahead(ahead_of(invocation(sys.executable, "train.py"), sources, prefix), {})
    assert len(compiled(prefix)) == FEW
    told = subprocess.run(
        [sys.executable, "-X", f"pycache_prefix={prefix}", "-v", "-c", "import module_7; print(module_7.NUMBER)"],
        cwd=Path(sources[0]).parent, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert told.stdout == "7\n"
    assert any("matches" in line and "module_7" in line for line in told.stderr.splitlines())


def test_a_source_that_changed_since_is_compiled_again_by_the_program(sources, tmp_path):
    prefix = tmp_path / "bytecode"
    compile_ahead(ahead_of(invocation(sys.executable), sources, prefix), {})
    Path(sources[7]).write_text("NUMBER = 'another'\n")
    told = subprocess.run(
        [sys.executable, "-X", f"pycache_prefix={prefix}", "-c", "import module_7; print(module_7.NUMBER)"],
        cwd=Path(sources[0]).parent, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert told.stdout == "another\n"


def test_what_cannot_be_compiled_is_left_to_the_program(sources, tmp_path, monkeypatch):
    monkeypatch.setattr(compiled_ahead, "MAX_SOURCE_BYTES", 1_000)
    folder, prefix = Path(sources[0]).parent, tmp_path / "bytecode"
    (folder / "wrong.py").write_text("def\n")
    (folder / "large.py").write_text("#" * 2_000)
    os.mkfifo(folder / "waits.py")
    odd = [str(folder / name) for name in ("wrong.py", "large.py", "waits.py", "missing.py", "a\0b.py")]
    compile_ahead(ahead_of(invocation(sys.executable), [*odd, *sources], prefix), {})
    assert len(compiled(prefix)) == FEW


def test_a_record_names_files_and_no_options_of_the_compiler(tmp_path):
    odd = ["relative.py", "-f.py", "/a\n/b.py", "/c.so", *(f"/x/{number}.py" for number in range(FEW))]
    found = ahead_of(invocation(sys.executable), odd, tmp_path / "bytecode")
    assert found.sources == tuple(odd[4:])


def test_nothing_is_compiled_where_little_would_be_gained(sources, tmp_path):
    prefix = tmp_path / "bytecode"
    assert ahead_of(invocation(sys.executable), sources[1:], prefix) is None
    prefix.mkdir()
    assert ahead_of(invocation(sys.executable), sources, prefix) is None


@pytest.mark.parametrize("argv", [("torchrun", "train.py"), ("no-such-python", "train.py"), ("/bin/sh", "-c", "true")])
def test_only_an_interpreter_that_the_command_names_itself_compiles(sources, tmp_path, argv):
    assert ahead_of(invocation(*argv), sources, tmp_path / "bytecode") is None


def test_an_interpreter_of_a_venv_stays_the_one_of_the_venv(sources, tmp_path):
    link = tmp_path / "bin" / "python"
    link.parent.mkdir()
    link.symlink_to(sys.executable)
    found = ahead_of(invocation("python", path=str(link.parent)), sources, tmp_path / "bytecode")
    assert found.interpreter == str(link)


def test_one_processor_compiles_as_it_imports(sources, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0})
    prefix = tmp_path / "bytecode"
    compile_ahead(ahead_of(invocation(sys.executable), sources, prefix), {})
    assert not prefix.exists()


@pytest.mark.parametrize("interpreter", ["/no/such/python", "/dev/null", "/"])
def test_an_interpreter_that_cannot_be_started_is_no_error(sources, tmp_path, interpreter):
    compile_ahead(Ahead(interpreter=interpreter, sources=tuple(sources), prefix=str(tmp_path / "bytecode")), {})
    assert not (tmp_path / "bytecode").exists()
