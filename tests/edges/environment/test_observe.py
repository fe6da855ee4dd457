from __future__ import annotations

import os
import sys
import time
import venv

import pytest
from msgspec import UNSET

from edges.environment.repositories import ENVIRONMENT, make_repository
from saksi.edges.environment.files import MAX_FILE_BYTES, FileSealer, files_given
from saksi.edges.environment.hardware import kernel, machine
from saksi.edges.environment.observe import Launch, observe
from saksi.judgement.seal import make_statement, parse_seal
from saksi.judgement.seal_differences import differences
from saksi.words.digest import sha256

KEY = b"k" * 32


@pytest.fixture
def launch(tmp_path):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    folder = tmp_path / "repository"
    make_repository(folder)
    (folder / "config.toml").write_text("lr = 1\n")

    def make(*arguments, environment=(), **changes):
        fields = {
            "run": "0" * 16,
            "attempt": 0,
            "name": None,
            "project": None,
            "level": "standard",
            "segment": None,
            "argv": (sys.executable, *arguments),
            "environment": {**ENVIRONMENT, **dict(environment)},
            "added": {},
            "folder": folder,
            "redaction_key": KEY,
            "cache": tmp_path / "cache",
            "scratch": scratch,
        }
        return Launch(**{**fields, **changes})

    return make


def seal_of(launch):
    seal = observe(launch, now_ns=time.time_ns() + 10**11).seal
    assert parse_seal(make_statement(seal)) == seal
    return seal


def test_everything_of_a_plain_command(launch):
    seal = seal_of(launch("-u", "train.py", "--config=config.toml", "--seed", "3"))
    assert seal.script.digest == str(sha256(b"print(1)\n"))
    assert [(each.path, each.digest) for each in seal.files] == [("config.toml", str(sha256(b"lr = 1\n")))]
    assert seal.seeds == {"--seed": "3"}
    assert seal.interpreter.flags == ("-u",)
    assert "pytest" in {each.name for each in seal.distributions}
    assert seal.environment["PATH"] == ENVIRONMENT["PATH"]
    assert seal.hardware.cores >= 1
    assert seal.unobserved == {}


def test_the_same_again_does_not_differ(launch):
    assert differences(seal_of(launch("train.py")), seal_of(launch("train.py"))) == ()


def test_one_changed_line_is_named(launch):
    before = seal_of(launch("train.py"))
    (launch().folder / "train.py").write_text("print(2)\n")
    found = differences(before, seal_of(launch("train.py")))
    assert [each.field for each in found][:1] == ["script"]


def test_git_is_asked_about_the_repository_of_the_script(launch, tmp_path):
    other, folder = make_repository(tmp_path / "other"), tmp_path / "repository"
    (folder / "also.py").write_text("print(1)\n")
    (other / "beside.py").write_text("")
    (folder / "linked.py").symlink_to(other / "train.py")
    for argv, name in (
        (("train.py",), "also.py"),
        ((str(other / "train.py"),), "beside.py"),
        (("linked.py",), "beside.py"),  # Python looks beside what a link leads to
        (("-m", "train"), "also.py"),
        (("-c", "pass"), "also.py"),
        (("-m", "torch.distributed.run", str(other / "train.py")), "beside.py"),
    ):
        assert name in {each.path for each in seal_of(launch(*argv)).git.untracked}, argv


def test_a_program_of_the_environment_says_nothing_about_the_repository(launch, tmp_path):
    other = make_repository(tmp_path / "other")  # as that in which pyenv keeps its interpreters
    venv.EnvBuilder(with_pip=False, symlinks=True).create(other / "venv")
    program = other / "venv" / "bin" / "trl"
    program.write_text(f"#!{other}/venv/bin/python\n")
    program.chmod(0o755)
    seal = seal_of(launch(argv=(str(program), "sft")))
    assert seal.script.path == str(program)
    assert "config.toml" in {each.path for each in seal.git.untracked}


def test_secrets_and_handles_stay_out(launch):
    seal = seal_of(
        launch(
            "train.py",
            "--api-key",
            "hunter2hunter2",
            "--url=https://u:hunter2hunter2@host/",
            environment={"HF_TOKEN": "hunter2hunter2", "SAKSI_TOKEN": "hunter2hunter2"},
            added={"SAKSI_TOKEN": "hunter2hunter2", "PYTHONPATH": "/saksi"},
        )
    )
    assert b"hunter2" not in make_statement(seal)
    assert "SAKSI_TOKEN" not in seal.environment
    assert seal.environment_changed_by_saksi == {"PYTHONPATH": "/saksi"}


def test_bytes_that_are_no_text(launch):
    odd = os.fsdecode(b"\xff\xfe")
    seal = seal_of(launch("train.py", odd, environment={"ODD": odd, f"N{odd}": "x"}))
    assert seal.command.argv[-1] == "\\xff\\xfe"


def test_a_command_that_is_not_there_is_sealed_all_the_same(launch, tmp_path):
    seal = seal_of(launch(argv=("nonexistent",), environment={"PATH": str(tmp_path)}))
    assert (seal.script, seal.interpreter, seal.git, seal.distributions) == (None, None, None, ())
    assert set(seal.unobserved) == {"git", "interpreter", "script"}


def test_no_cache_and_a_cache_that_cannot_be_written(launch, tmp_path):
    assert seal_of(launch("train.py", cache=None)).interpreter is not None
    (tmp_path / "file").write_text("x")
    assert seal_of(launch("train.py", cache=tmp_path / "file")).interpreter is not None


def test_files_are_those_that_arguments_name(tmp_path):
    for name in ("a", "b", "c", "d", "password.txt"):
        (tmp_path / name).write_text("x")
    (tmp_path / "folder").mkdir()
    argv = [
        "a",
        "--x=b",
        "conf=c",
        "@d",
        "folder",
        "missing",
        "a",
        "--password-file",
        "password.txt",
        "a\0b",
        "x" * 5000,
    ]
    assert files_given(argv, tmp_path) == ("a", "b", "c", "d")
    assert files_given(argv, tmp_path, besides=["a"]) == ("b", "c", "d")


def test_a_file_has_a_digest_or_a_reason(tmp_path):
    (tmp_path / "small").write_text("x")
    with (tmp_path / "large").open("wb") as file:
        file.truncate(MAX_FILE_BYTES + 1)
    os.mkfifo(tmp_path / "fifo")
    sealer = FileSealer(tmp_path, KEY)
    assert sealer.seal("small").digest == str(sha256(b"x"))
    large = sealer.seal("large")
    assert (large.digest, large.size) == (None, MAX_FILE_BYTES + 1)
    assert "more than the" in large.reason
    assert sealer.seal("fifo").reason == "not a regular file"
    assert sealer.seal("missing").reason == "No such file or directory"
    assert FileSealer(tmp_path, KEY, budget=0).seal("small").digest is None


def test_a_secrets_file_has_no_bare_digest(tmp_path):
    (tmp_path / "secrets.yaml").write_text("hunter2")
    found = FileSealer(tmp_path, KEY).seal("secrets.yaml").digest
    assert found.startswith("hmac-sha256:")
    assert found != FileSealer(tmp_path, b"o" * 32).seal("secrets.yaml").digest


def test_the_machine_is_read_from_the_kernels_files(tmp_path):
    gpu = tmp_path / "driver" / "nvidia" / "gpus" / "0000:01:00.0"
    gpu.mkdir(parents=True)
    (gpu / "information").write_text("Model: \t\t NVIDIA H200\nIRQ: 1\n")
    (gpu.parent / "0000:02:00.0").mkdir()
    (tmp_path / "cpuinfo").write_text(
        "processor : 0\nmodel name\t: A CPU @ 2 GHz\nflags\t\t: fpu sse avx2 pti amx_tile\n"
    )
    found = machine(tmp_path)
    assert found.gpus == ("NVIDIA H200", "not known")
    assert found.cpu == "A CPU @ 2 GHz"
    assert found.cpu_features == ("amx_tile", "avx2", "sse")
    assert found.processors == os.cpu_count()
    nothing = machine(tmp_path / "nothing")
    assert (nothing.cpu, nothing.cpu_features) == (None, UNSET)
    assert kernel().startswith(os.uname().sysname)


ARM = """processor\t: 0
Features\t: fp asimd sve smep
CPU implementer\t: 0x41
CPU part\t: {part}
"""


def test_processors_without_a_name_are_told_apart_by_who_made_them(tmp_path):
    found = []
    for part in ("0xd0c", "0xd40"):
        (tmp_path / "cpuinfo").write_text(ARM.format(part=part))
        found.append(machine(tmp_path).cpu_features)
    assert found[0] == ("asimd", "cpu-implementer=0x41", "cpu-part=0xd0c", "sve")
    assert found[0] != found[1]


@pytest.mark.parametrize("said", ["", "model : 1\n", "flags :\nbugs : ssebug\n", "flags : avx"])
def test_a_processor_whose_instructions_are_not_wholly_said_has_no_features(tmp_path, said):
    (tmp_path / "cpuinfo").write_text(said)
    assert machine(tmp_path).cpu_features is UNSET
