"""`saksi env verify` as it is typed: what it prints and how it ends."""

from __future__ import annotations

import os

import msgspec
import pytest

from doors.cli.cli_home import HOSTILE
from doors.cli.test_commands import checked
from edges.environment.environments import SGD, Environment, later, row, without_stdlib
from judgement.environment.manifests import plain_manifest
from saksi.doors.cli import env_verify
from saksi.doors.cli.given_manifest import GivenManifest
from saksi.edges.environment import bytecode_proof
from saksi.judgement.environment.manifest import OpenedManifest
from saksi.words.digest import sha256


@pytest.fixture
def there(tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "300")  # a line with the path of the temporary folder is one line
    without_stdlib(monkeypatch)
    monkeypatch.delenv("PYTHONPATH", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    environment = Environment(tmp_path / "venv")
    environment.install(files={"toytorch/__init__.py": "", "toytorch/sgd.py": SGD})
    return environment


def test_an_environment_that_nothing_stands_against(home, there):
    there.compile("toytorch/sgd.py")
    code, out, err = home.call("env", "verify", "--python", str(there.folder))
    assert (code, err) == (0, "")
    first, second = out.splitlines()[:2]
    assert first == f"{there.python}: self-consistent"
    assert second.startswith("Nothing contradicts the lists that lie beside the files.")
    assert "1 files, 1 are what their sources compile to" in out
    assert "only an external manifest can show that" in " ".join(out.split())


def test_the_interpreter_of_the_path_is_the_one_that_is_meant(home, there, monkeypatch):
    monkeypatch.setenv("PATH", f"{there.folder / 'bin'}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.chdir(there.folder)
    document = checked(home.call("env", "verify", "--json")[1], "saksi.env-verify/v1")
    assert document["python"]["prefix"] == str(there.folder)
    for name in ("python3", "./bin/python", "."):
        assert home.call("env", "verify", "--python", name)[0] == 0


def test_a_report_is_kept_until_something_changes(there, tmp_path, monkeypatch):
    page = there.folder / "share" / "toy.1"
    there.install("paged", files={"paged.py": ""}, extra_rows=[row("../../../share/toy.1", b"page")])

    def report(*, now_ns=None):
        return env_verify.report_on(there.question(cache=tmp_path / "kept"), None, now_ns=now_ns or later())

    first = report()
    assert [each.kind for each in first.differences] == ["missing"]
    with monkeypatch.context() as patch:
        patch.setattr(env_verify, "read_listing", lambda *_, **__: pytest.fail("read again"))
        assert report() == first
    page.parent.mkdir()
    page.write_bytes(b"page")
    assert report().verdict == "self-consistent"
    there.put("toytorch/sgd.py", SGD.replace("0.1", "0.2"))
    assert report().verdict == "differs"
    there.put("toytorch/sgd.py", SGD)
    assert report().verdict == "self-consistent"
    (there.site / "extra.py").write_text("")
    assert report().verdict == "differs"
    (there.site / "extra.py").unlink()
    assert report().verdict == "self-consistent"
    page.write_bytes(b"gape")
    assert report().verdict == "differs"


def test_a_report_on_files_that_are_young_is_not_kept(there, tmp_path):
    young = (there.site / "toytorch/sgd.py").stat().st_ctime_ns + 1
    env_verify.report_on(there.question(cache=tmp_path / "kept"), None, now_ns=young)
    assert not any((tmp_path / "kept").glob("environment/*/report"))
    env_verify.report_on(there.question(cache=tmp_path / "kept"), None, now_ns=later())
    assert any((tmp_path / "kept").glob("environment/*/report"))


def test_a_kept_report_is_not_that_on_another_question(there, tmp_path):
    question = there.question(cache=tmp_path / "kept")
    assert env_verify.report_on(question, None, now_ns=later()).verdict == "self-consistent"
    opened = OpenedManifest(manifest=plain_manifest(), signed_by=("somebody",))
    given = GivenManifest(file=tmp_path / "manifest", digest=sha256(b""), opened=opened)
    nothing = env_verify.report_on(question, given, now_ns=later())
    assert nothing.verdict == "differs"
    there.compile("toytorch/sgd.py")
    left_out = msgspec.structs.replace(question, bytecode=False)
    assert env_verify.report_on(left_out, None, now_ns=later()).verdict == "not_checkable"
    assert env_verify.report_on(question, None, now_ns=later()).verdict == "self-consistent"


def test_a_comparison_that_failed_is_tried_again(there, tmp_path, monkeypatch):
    there.compile("toytorch/sgd.py")
    question = there.question(cache=tmp_path / "kept")
    with monkeypatch.context() as patch:
        patch.setattr(bytecode_proof.Prover, "_ask", lambda *_: (_ for _ in ()).throw(bytecode_proof._Failed("busy")))
        assert env_verify.report_on(question, None, now_ns=later()).verdict == "not_checkable"
    assert env_verify.report_on(question, None, now_ns=later()).verdict == "self-consistent"


def test_forged_bytecode(home, there):
    pyc = there.forge("toytorch/sgd.py", SGD.replace("2.0", "2.06"))
    code, out, _ = home.call("env", "verify", "--python", str(there.python), "--jobs", "1")
    assert code == 1
    assert "Files: 1 of bytecode that is not its source." in out
    assert f"purelib toytorch/__pycache__/{pyc.name}" in out
    assert "its code is not what toytorch/sgd.py compiles to in SGD.step: its constants" in " ".join(out.split())
    code, out, _ = home.call("env", "verify", "--python", str(there.python), "--json")
    (difference,) = checked(out, "saksi.env-verify/v1")["differences"]
    assert (code, difference["kind"], difference["object"]) == (1, "bytecode_differs", "SGD.step")


def test_bytecode_that_was_left_out(home, there):
    there.forge("toytorch/sgd.py", SGD.replace("2.0", "2.06"))
    code, out, _ = home.call("env", "verify", "--python", str(there.python), "--no-bytecode")
    assert code == 3
    assert "Nothing differs in what was checked, and not everything could be checked." in out


def test_hostile_names_reach_no_terminal(home, there):
    there.put(HOSTILE.replace("/", ""), "")
    there.put("a\udcff.py".encode("utf-8", "surrogateescape").decode("utf-8", "surrogateescape"), "")
    os.rename(there.site / "toytorch-1.0.dist-info", os.fsencode(there.site) + b"/toy\xff-1.0.dist-info")
    code, out, _ = home.call("env", "verify", "--python", str(there.python))
    assert code == 1
    assert "\x1b" not in out
    assert "\u202e" not in out
    assert "a\\xff.py" in out
    checked(home.call("env", "verify", "--python", str(there.python), "--json")[1], "saksi.env-verify/v1")


def test_long_lists_are_cut_on_the_screen_and_whole_as_json(home, there):
    for at in range(30):
        there.put(f"extra{at:02}.py", "")
    code, out, _ = home.call("env", "verify", "--python", str(there.python))
    assert code == 1
    assert "18 more: --json" in out
    document = checked(home.call("env", "verify", "--python", str(there.python), "--json")[1], "saksi.env-verify/v1")
    assert len(document["differences"]) == 30


@pytest.mark.parametrize(("words", "said"), [
    (["--python", "/nonexistent/python"], "the command was not found"),
    (["--python", "/bin/sh"], "is not a Python program"),
    (["--python", "/proc"], "the command was not found"),
    (["--jobs", "0"], "--jobs"),
    (["--manifest", "m.json"], "m.json"),
])  # fmt: skip
def test_what_cannot_be_asked_for(home, words, said):
    code, out, err = home.call("env", "verify", *words)
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert said in err


def test_without_a_python_in_the_path(home, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    code, _, err = home.call("env", "verify")
    assert code == 2
    assert "name the interpreter of the environment with --python EXE" in err
