from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
import venv
from pathlib import Path

import pytest

from saksi.edges.environment import interpreter
from saksi.edges.environment.command import observe_command
from saksi.edges.environment.distributions import installed
from saksi.edges.environment.interpreter import NotKnown, describe, find_program, python_of, site_folders
from saksi.edges.environment.remembered import RACY_NS
from saksi.judgement.seal import Distribution

REAL = Path(os.path.realpath(sys.executable))
ENVIRONMENT = {"PATH": os.environ.get("PATH", os.defpath), "HOME": "/nonexistent"}


def later():
    return time.time_ns() + 10 * RACY_NS


@pytest.fixture(scope="module")
def small_venv(tmp_path_factory):
    folder = tmp_path_factory.mktemp("environment") / "venv"
    venv.EnvBuilder(with_pip=False, symlinks=True).create(folder)
    site = next(folder.glob("lib/python*/site-packages"))
    (site / "Some_Thing-1.2.dist-info").mkdir()
    return folder


def test_the_interpreter_says_what_it_is(small_venv):
    python = describe(small_venv / "bin" / "python", ENVIRONMENT, cache=None, now_ns=later())
    assert python.path == small_venv / "bin" / "python"
    assert python.real_path == REAL
    assert python.prefix == small_venv
    assert python.file.version.startswith("{}.{}.{}".format(*sys.version_info[:3]))
    assert python.file.implementation == sys.implementation.name
    assert python.file.cache_tag == sys.implementation.cache_tag
    assert python.file.base_prefix == sys.base_prefix
    assert python.file.digest == f"sha256:{hashlib.sha256(REAL.read_bytes()).hexdigest()}"


def test_the_environment_cannot_answer_for_it(small_venv, tmp_path):
    (tmp_path / "site.py").write_text("raise SystemExit('hijacked')")
    (tmp_path / "sitecustomize.py").write_text("raise SystemExit('hijacked')")
    site = next(small_venv.glob("lib/python*/site-packages"))
    mark = tmp_path / "mark"
    (site / "toy.pth").write_text(f"import pathlib; pathlib.Path({str(mark)!r}).touch()\n")
    environment = {**ENVIRONMENT, "PYTHONPATH": str(tmp_path), "PYTHONHOME": "/nonexistent"}
    assert describe(small_venv / "bin" / "python", environment, cache=None, now_ns=later()).file.version
    assert not mark.exists()


def test_it_is_asked_once(small_venv, tmp_path, monkeypatch):
    first = describe(small_venv / "bin" / "python", ENVIRONMENT, cache=tmp_path / "cache", now_ns=later())
    monkeypatch.setattr(subprocess, "run", lambda *_a, **_k: pytest.fail("asked again"))
    assert describe(small_venv / "bin" / "python", ENVIRONMENT, cache=tmp_path / "cache", now_ns=later()) == first


def test_a_young_file_and_a_cache_that_others_can_write_are_not_believed(small_venv, tmp_path):
    path, cache = small_venv / "bin" / "python", tmp_path / "cache"
    describe(path, ENVIRONMENT, cache=cache, now_ns=REAL.stat().st_ctime_ns + RACY_NS)
    assert not cache.exists()
    expected = describe(path, ENVIRONMENT, cache=cache, now_ns=later())
    (entry,) = (cache / "remembered").iterdir()
    assert entry.stat().st_mode & 0o777 == 0o600
    entry.write_bytes(entry.read_bytes().replace(expected.file.digest.encode(), b"sha256:" + b"0" * 64))
    assert describe(path, ENVIRONMENT, cache=cache, now_ns=later()) != expected  # ours alone: believed
    entry.chmod(0o666)
    assert describe(path, ENVIRONMENT, cache=cache, now_ns=0) == expected
    entry.chmod(0o600)
    entry.write_bytes(b"{")
    assert describe(path, ENVIRONMENT, cache=cache, now_ns=0) == expected


def test_a_changed_interpreter_is_asked_again(tmp_path):
    program = tmp_path / "python3"
    program.write_text("#!/bin/sh\n")
    cache = tmp_path / "cache"
    for version in ("3.9.1", "3.9.2"):
        answer = (
            f"saksi\\000{version}\\000toy\\000\\000/usr\\000/x/python\\000/a\\000/@prefix@/b\\000toy\\000\\000\\000"
        )
        program.write_text(f"#!/bin/sh\nprintf '{answer}'\n")
        program.chmod(0o755)
        assert describe(program, ENVIRONMENT, cache=cache, now_ns=later()).file.version == version


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("#!/bin/sh\nexit 0\n", "did not answer as Python 3"),
        ("#!/bin/sh\nexit 3\n", "did not answer as Python 3"),
        ("#!/nonexistent/sh\n", "could not be started"),
        ("#!/bin/sh\nexec sleep 30\n", "did not answer within"),
    ],
)
def test_a_program_that_only_has_the_name(tmp_path, monkeypatch, text, reason):
    monkeypatch.setattr(interpreter, "ASK_SECONDS", 0.5)
    program = tmp_path / "python"
    program.write_text(text)
    program.chmod(0o755)
    with pytest.raises(NotKnown, match=reason):
        describe(program, ENVIRONMENT, cache=None, now_ns=later())


def test_an_interpreter_that_is_not_there(tmp_path):
    with pytest.raises(NotKnown, match="could not be read"):
        describe(tmp_path / "python", ENVIRONMENT, cache=None, now_ns=later())


def executable(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


def test_programs_are_found_as_the_system_finds_them(tmp_path):
    tool = executable(tmp_path / "bin" / "tool", "#!/bin/sh\n")
    (tmp_path / "first").mkdir()
    (tmp_path / "first" / "tool").write_text("not executable")
    environment = {"PATH": f"{tmp_path / 'first'}:{tmp_path / 'bin'}"}
    assert find_program("tool", environment, tmp_path) == tool
    assert find_program("bin/tool", {}, tmp_path) == tool
    assert find_program("tool", {"PATH": "bin"}, tmp_path) == tool
    assert find_program("tool", {"PATH": ""}, tmp_path / "bin") == tool
    for name in ("other", "bin", "./other", "a\0b"):
        with pytest.raises(NotKnown, match="not found"):
            find_program(name, environment, tmp_path)


def test_a_launcher_is_looked_through(tmp_path, small_venv):
    python = small_venv / "bin" / "python"
    direct = executable(tmp_path / "torchrun", f"#!{python}\nimport x\n")
    through_env = executable(tmp_path / "accelerate", "#!/usr/bin/env python3\n")
    assert python_of(direct, ENVIRONMENT, tmp_path) == python
    environment = {"PATH": f"{small_venv / 'bin'}:/usr/bin:/bin"}
    assert python_of(through_env, environment, tmp_path) == small_venv / "bin" / "python3"
    shell = executable(tmp_path / "run.sh", "#!/bin/sh\npython train.py\n")
    with pytest.raises(NotKnown, match="not a Python program"):
        python_of(shell, ENVIRONMENT, tmp_path)


def test_a_shim_is_asked_where_the_interpreter_is(tmp_path):
    shim = executable(tmp_path / "python", f'#!/bin/sh\nexec {REAL} "$@"\n')
    assert os.path.realpath(python_of(shim, ENVIRONMENT, tmp_path)) == str(REAL)


def test_distributions_are_found_by_their_folders(small_venv, tmp_path):
    python = describe(small_venv / "bin" / "python", ENVIRONMENT, cache=None, now_ns=later())
    folders = site_folders(python, ENVIRONMENT, tmp_path, frozenset())
    assert installed(folders) == (Distribution(name="some-thing", version="1.2"),)
    assert site_folders(python, ENVIRONMENT, tmp_path, frozenset("S")) == ()


def test_distributions_of_the_python_path_count_unless_isolated(small_venv, tmp_path):
    (tmp_path / "lib" / "old-0.1-py3.11.egg-info").mkdir(parents=True)
    (tmp_path / "lib" / "developed.egg-info").mkdir()
    (tmp_path / "lib" / "developed.egg-info" / "PKG-INFO").write_text("Name: developed\nVersion: 9\n")
    (tmp_path / "lib" / "broken.egg-info").mkdir()
    python = describe(small_venv / "bin" / "python", ENVIRONMENT, cache=None, now_ns=later())
    environment = {**ENVIRONMENT, "PYTHONPATH": "lib:/nonexistent"}
    names = {each.name: each.version for each in installed(site_folders(python, environment, tmp_path, frozenset()))}
    assert names == {"old": "0.1", "developed": "9", "broken": "not known", "some-thing": "1.2"}
    for letter in "IE":
        found = installed(site_folders(python, environment, tmp_path, frozenset(letter)))
        assert [each.name for each in found] == ["some-thing"]


def test_a_venv_that_sees_its_base(tmp_path):
    folder = tmp_path / "venv"
    venv.EnvBuilder(with_pip=False, symlinks=True, system_site_packages=True).create(folder)
    python = describe(folder / "bin" / "python", ENVIRONMENT, cache=None, now_ns=later())
    home = {**ENVIRONMENT, "HOME": str(tmp_path)}
    folders = [str(each) for each in site_folders(python, home, tmp_path, frozenset())]
    assert any(each.startswith(str(tmp_path / ".local")) for each in folders)
    assert any(each.startswith(sys.base_prefix) for each in folders)
    without_user = site_folders(python, home, tmp_path, frozenset("s"))
    assert not any(str(each).startswith(str(tmp_path / ".local")) for each in without_user)


def command(argv, folder, environment=ENVIRONMENT):
    unobserved = {}
    found = observe_command(argv, environment, folder, cache=None, now_ns=later(), unobserved=unobserved)
    return found, unobserved


@pytest.mark.parametrize(
    ("arguments", "script"),
    [
        (["train.py", "--x", "other.py"], "train.py"),
        (["-u", "-m", "pkg.mod"], "pkg/mod.py"),
        (["-m", "pkg"], "pkg/__main__.py"),
        (["-m", "torch.distributed.run", "--nproc", "2", "train.py"], "train.py"),
        (["missing.py"], "missing.py"),
    ],
)
def test_the_script_of_an_interpreter(tmp_path, arguments, script):
    (tmp_path / "pkg").mkdir()
    for name in ("train.py", "other.py", "pkg/mod.py", "pkg/__main__.py"):
        (tmp_path / name).write_text("x")
    found, unobserved = command([sys.executable, *arguments], tmp_path)
    assert (found.script, unobserved) == (script, {})
    assert found.python is not None


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["-c", "print(1)"], "stands on the command line"),
        ([], "standard input"),
        (["-m", "torch.distributed.run"], "module torch.distributed.run is not in the working directory"),
        (["-m", "m" * 5_000], "is not in the working directory"),
    ],
)
def test_a_script_that_is_no_file(tmp_path, arguments, reason):
    found, unobserved = command([sys.executable, *arguments], tmp_path)
    assert found.script is None
    assert reason in unobserved["script"]


def test_the_script_behind_a_launcher_or_a_shell(tmp_path):
    executable(tmp_path / "torchrun", f"#!{sys.executable}\n")
    executable(tmp_path / "run.sh", "#!/bin/sh\n")
    (tmp_path / "train.py").write_text("x")
    (tmp_path / "a.yaml").write_text("x")
    assert command(["./torchrun", "--standalone", "train.py", "a.yaml"], tmp_path)[0].script == "train.py"
    found, unobserved = command(["sh", "run.sh", "a.yaml"], tmp_path)
    assert (found.python, found.script) == (None, "run.sh")
    assert unobserved == {"interpreter": "the command is not a Python program"}
    assert command(["./run.sh"], tmp_path)[0].script == str(tmp_path / "run.sh")


def test_a_command_that_is_not_there(tmp_path):
    found, unobserved = command(["nonexistent-command"], tmp_path)
    assert (found.python, found.script) == (None, None)
    assert unobserved == {"interpreter": "the command was not found", "script": "the command was not found"}


def test_a_pipe_in_the_place_of_metadata_holds_nobody_up(tmp_path):
    os.mkfifo(tmp_path / "waits.egg-info")
    assert installed([tmp_path]) == (Distribution(name="waits", version="not known"),)


def test_what_else_an_answer_depends_on_is_looked_at_before_it_is_believed(tmp_path):
    """The files beside the interpreter that move its paths, its `site.py`, and where it finds its libraries."""
    library = tmp_path / "lib"
    library.mkdir()
    (library / "site.py").write_text("")
    asked = tmp_path / "asked"
    program = tmp_path / "bin" / "python3"
    program.parent.mkdir()
    program.write_text(
        f"#!/bin/sh\necho x >> {asked}\nprintf 'saksi\\0003.11.1\\000toy\\000\\000/usr\\000/x/python\\000/a\\000"
        f"/@prefix@/b\\000toy\\000{library}\\000\\000'\n"
    )
    program.chmod(0o755)
    cache = tmp_path / "cache"
    environment = dict(ENVIRONMENT)

    def times_asked():
        asked.unlink(missing_ok=True)
        for _ in range(2):
            describe(program, environment, cache=cache, now_ns=later())
        return len(asked.read_text().split()) if asked.exists() else 0

    assert times_asked() == 1
    assert times_asked() == 0
    for path in (
        tmp_path / "pyvenv.cfg",
        program.parent / "pyvenv.cfg",
        program.parent / "python3._pth",
        program.parent / "pybuilddir.txt",
        library / "site.py",
    ):
        path.write_text("home = /elsewhere\n")
        assert times_asked() == 1, path
    libraries = tmp_path / "libraries"
    libraries.mkdir()
    environment["LD_LIBRARY_PATH"] = str(libraries)
    assert times_asked() == 1
    (libraries / "libpython3.11.so.1.0").write_text("")
    assert times_asked() == 1
    assert times_asked() == 0
